//! The least that could be called a verified transfer between two processes, as a yardstick for `bench/gigabyte.sh`:
//! sendfile at one end; at the other 1 MiB at a time into BLAKE3 and a file, and one fsync.
//!
//! ```text
//! bare_copy receive PORT PATH
//! bare_copy send PORT PATH
//! ```

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [what, port, path] = words.as_slice() else { panic!("bare_copy send|receive PORT PATH") };
    let addr = (Ipv4Addr::LOCALHOST, port.parse().expect("a port is a number"));
    match what.as_str() {
        "send" => send(TcpStream::connect(addr)?, &File::open(path)?),
        _ => receive(TcpListener::bind(addr)?.accept()?.0, File::create(path)?),
    }
}

fn send(stream: TcpStream, file: &File) -> io::Result<()> {
    while rustix::fs::sendfile(&stream, file, None, 1 << 30)? > 0 {}
    Ok(())
}

fn receive(mut stream: TcpStream, mut file: File) -> io::Result<()> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let got = stream.read(&mut buffer)?;
        if got == 0 {
            break;
        }
        hasher.update(&buffer[..got]);
        file.write_all(&buffer[..got])?;
    }
    println!("{}", hasher.finalize());
    file.sync_all()
}
