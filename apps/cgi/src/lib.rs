//! CGI
