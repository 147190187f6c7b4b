//! The far end of workers' conversations. In those of TCP the one that connects sends 100 bytes and gets 50.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
};

use harness::{
    NetPair, PATIENCE,
    frames::{FAR_V4, NEAR_V4},
};

use crate::workers::{Said, Worker};

/// A worker's conversation that is over: what the worker has said of itself, and the port of the far end.
pub(crate) type Conversation = (Said, u16);

/// A UDP socket on the far host.
pub(crate) fn far_udp(pair: &NetPair) -> UdpSocket {
    let socket = pair.far.namespace.enter(|| UdpSocket::bind((FAR_V4, 0)).unwrap());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Answers the next connection.
pub(crate) fn answer(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().unwrap();
    stream.read_exact(&mut [0; 100]).unwrap();
    stream.write_all(&[0; 50]).unwrap();
    stream
}

/// Asks, from the far host.
fn ask(pair: &NetPair, to: SocketAddr) -> TcpStream {
    let mut stream = pair.far.namespace.enter(|| TcpStream::connect(to).unwrap());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[0; 100]).unwrap();
    stream.read_exact(&mut [0; 50]).unwrap();
    stream
}

/// A worker on the near host that connects after its first steps, and ends.
pub(crate) fn client(pair: &NetPair, steps: &str) -> Conversation {
    let listener = pair.far.namespace.enter(|| TcpListener::bind((FAR_V4, 0)).unwrap());
    let to = listener.local_addr().unwrap();
    let mut worker =
        Worker::start(&pair.near.namespace, &format!("{steps} connect={to} say=ready send=100 receive=50"));
    let said = worker.hear();
    let _stream = answer(&listener);
    worker.end();
    (said, to.port())
}

/// A worker on the near host that listens, accepts after some steps, and ends.
pub(crate) fn server(pair: &NetPair, name: &str, steps: &str) -> Conversation {
    let steps = format!("name={name} listen={NEAR_V4}:0 {steps} receive=100 send=50");
    let mut worker = Worker::start(&pair.near.namespace, &steps);
    let said = worker.hear();
    let stream = ask(pair, said.local);
    worker.end();
    let port = stream.local_addr().unwrap().port();
    (said, port)
}
