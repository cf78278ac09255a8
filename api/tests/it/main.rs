//! The listener as senders and operators meet it: real sockets, bytes in, bytes out.

mod configured;
mod http;
mod ingress;
mod support;
