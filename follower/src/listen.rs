//! Listening on hosts that know IPv4, IPv6 or both.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, ipproto::TCP, listen, socket_with, sockopt},
};

/// As many as the system allows may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Listens on `address`. All of IPv6 is all of IPv4 too, and that alone where there is no IPv6.
///
/// # Errors
/// What the system says.
pub(crate) fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let all = address.is_ipv6() && address.ip().is_unspecified();
    match open(address) {
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if all => {
            Ok(open((Ipv4Addr::UNSPECIFIED, address.port()).into())?)
        }
        opened => Ok(opened?),
    }
}

fn open(address: SocketAddr) -> Result<TcpListener, Errno> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(TCP))?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn all_addresses_are_those_of_ipv4_too() {
        let listener = listener("[::]:0".parse().expect("an address")).expect("listens");
        let port = listener.local_addr().expect("bound").port();
        TcpStream::connect(("127.0.0.1", port)).expect("reachable by IPv4");
    }

    #[test]
    fn one_address_is_that_one() {
        let listener = listener("127.0.0.1:0".parse().expect("an address")).expect("listens");
        let address = listener.local_addr().expect("bound");
        assert!(address.is_ipv4() && address.ip().is_loopback());
        assert!(open(address).is_err(), "it is taken");
    }
}
