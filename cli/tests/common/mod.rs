//! What the tests of real processes share: the programs as built, two simulated systems as processes of
//! their own with the configuration that names them, and the question whether both sides agree.

pub mod agreement;
pub mod http;
pub mod pair;
pub mod program;
pub mod questions;
pub mod scale;
pub mod system;
