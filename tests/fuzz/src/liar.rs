//! A server at the other end of a connection that answers whatever it likes, and then closes.

use std::net::SocketAddr;

use satchel_common::address::HostPort;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

/// It listens for as long as the process lives.
pub struct Liar {
    runtime: Runtime,
    listener: TcpListener,
    address: SocketAddr,
}

impl Liar {
    /// At a port of its own.
    pub fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        Self { runtime, listener, address }
    }

    /// Where it listens.
    pub fn address(&self) -> HostPort {
        HostPort { host: self.address.ip().to_string(), port: self.address.port() }
    }

    /// Runs `ask` while each thing that is said on a connection is answered with the next of `answers`.
    pub fn tells<T>(&self, answers: &[&[u8]], ask: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                done = ask => done,
                () = self.serve(answers) => unreachable!("it serves for ever"),
            }
        })
    }

    async fn serve(&self, answers: &[&[u8]]) {
        loop {
            if let Ok((stream, _)) = self.listener.accept().await {
                let _ = answer(stream, answers).await;
            }
        }
    }
}

impl Default for Liar {
    fn default() -> Self {
        Self::new()
    }
}

async fn answer(mut stream: TcpStream, answers: &[&[u8]]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut said = [0; 4096];
    for answer in answers {
        if stream.read(&mut said).await? == 0 {
            return Ok(());
        }
        stream.write_all(answer).await?;
    }
    stream.shutdown().await
}
