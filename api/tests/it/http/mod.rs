mod access;
mod api;
mod whole;
