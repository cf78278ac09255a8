mod answers;
mod commit;
mod framing;
mod limits;
mod traces;
