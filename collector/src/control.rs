//! What an operator, a supervisor and Prometheus talk to: signals and the admin listener, on one runtime in the main
//! thread, apart from the data path.

pub mod check;
pub mod http;
pub mod signals;
