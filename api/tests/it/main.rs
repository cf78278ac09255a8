//! The listener as senders and operators meet it: real sockets, bytes in, bytes out.

mod http;
mod ingress;
mod support;
