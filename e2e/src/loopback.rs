//! Addresses of 127.0.0.0/8, each for one server, so that many listen on the same port.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::{Context as _, Result, bail};

/// Listens, without blocking, on `port` of an address that nobody else has, of this process or another.
///
/// # Errors
/// If the port is taken wherever it was tried.
pub fn listen(port: u16) -> Result<(Ipv4Addr, TcpListener)> {
    for _ in 0..u8::MAX {
        let address = next_address();
        match TcpListener::bind(SocketAddr::from((address, port))) {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                return Ok((address, listener));
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error).with_context(|| format!("cannot listen on {address}:{port}")),
        }
    }
    bail!("port {port} is in use at every loopback address that was tried")
}

/// An address of this process's own: tests of another one may run beside it.
fn next_address() -> Ipv4Addr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let [.., process] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | (process & 127), high, low)
}
