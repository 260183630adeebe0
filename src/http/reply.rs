//! The answer to an order that was sold, or (in a lab, on purpose) none: the connection is closed after the
//! commit.

use std::any::Any;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;

use actix_web::dev::Extensions;
use actix_web::{HttpRequest, HttpResponse};

use super::State;

/// A second handle on the connection that a request came by. Only a lab keeps one.
struct Wire(TcpStream);

/// For each new connection of a lab.
pub fn hold_wire(connection: &dyn Any, data: &mut Extensions) {
    let stream = connection.downcast_ref::<actix_web::rt::net::TcpStream>();
    if let Some(Ok(wire)) = stream.map(|stream| stream.as_fd().try_clone_to_owned()) {
        data.insert(Wire(wire.into()));
    }
}

/// The answer, unless this buyer is the one who shall hear nothing. A repeated answer always gets through, or
/// asking again would be no way out.
pub(super) fn sold(
    request: &HttpRequest,
    state: &State,
    answer: HttpResponse,
    replayed: bool,
) -> HttpResponse {
    if !replayed
        && state.lab.drops_reply()
        && let Some(Wire(wire)) = request.conn_data::<Wire>()
    {
        // From here on nothing that is written arrives: not even a status. Closed by the buyer already is as
        // good.
        let _closed_already = wire.shutdown(Shutdown::Both);
    }
    answer
}
