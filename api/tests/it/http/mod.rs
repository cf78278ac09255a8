mod access;
mod api;
mod bodies;
mod whole;
