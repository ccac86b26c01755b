//! What stands between a client and a server: a line that can be cut, and one that encrypts.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A line to a server that is cut, once armed, as soon as the client has sent its next request.
pub struct Line {
    pub port: u16,
    armed: Arc<AtomicBool>,
}

impl Line {
    pub fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let armed = Arc::new(AtomicBool::new(false));
        let trigger = armed.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
                let (back, forth) =
                    ((server.try_clone().unwrap(), client.try_clone().unwrap()), (client, server));
                let trigger = trigger.clone();
                std::thread::spawn(move || carry(back.0, back.1, None));
                std::thread::spawn(move || carry(forth.0, forth.1, Some(&trigger)));
            }
        });
        Self { port, armed }
    }

    pub fn cut_at_the_next_request(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, cut: Option<&AtomicBool>) {
    let mut bytes = [0; 65536];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
        if cut.is_some_and(|armed| armed.swap(false, Ordering::SeqCst)) {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// A certificate for a name, and the authority that vouches for it, in PEM form.
pub struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    pub authority: String,
}

impl Certificate {
    pub fn of(name: &str) -> Self {
        let mut authority = rcgen::CertificateParams::default();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let own = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let own = own.signed_by(&key, &issuer).unwrap();
        Self { chain: vec![own.der().clone()], key: key.serialize_der(), authority: authority_pem }
    }
}

/// A server that speaks PostgreSQL's encrypted protocol with a certificate, and passes all on to `server`, which need
/// not know of it. Answers the port, and whether any client has got past the handshake.
pub fn encrypting(server: u16, certificate: &Certificate) -> (u16, Arc<AtomicBool>) {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certificate.key.clone()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificate.chain.clone(), key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let passed = Arc::new(AtomicBool::new(false));
    let has_passed = passed.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let (config, passed) = (config.clone(), passed.clone());
            std::thread::spawn(move || serve(client, server, config, &passed));
        }
    });
    (port, has_passed)
}

fn serve(mut client: TcpStream, server: u16, config: Arc<ServerConfig>, passed: &AtomicBool) -> Option<()> {
    let mut request = [0; 8];
    client.read_exact(&mut request).ok()?;
    assert_eq!(request, [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f], "the client asks for encryption first of all");
    client.write_all(b"S").ok()?;
    let mut server = TcpStream::connect(("127.0.0.1", server)).ok()?;
    let mut client = StreamOwned::new(ServerConnection::new(config).ok()?, client);
    while client.conn.is_handshaking() {
        client.conn.complete_io(&mut client.sock).ok()?;
    }
    passed.store(true, Ordering::SeqCst);
    // One thread listens to both by turns: an encrypted stream cannot be split.
    client.sock.set_read_timeout(Some(Duration::from_millis(1))).ok()?;
    server.set_read_timeout(Some(Duration::from_millis(1))).ok()?;
    let mut bytes = [0; 65536];
    loop {
        let count = read(&mut client, &mut bytes)?;
        server.write_all(&bytes[..count]).ok()?;
        let count = read(&mut server, &mut bytes)?;
        client.write_all(&bytes[..count]).ok()?;
        client.flush().ok()?;
    }
}

/// What has come, perhaps nothing yet; `None` when nothing will come any more.
fn read(from: &mut impl Read, bytes: &mut [u8]) -> Option<usize> {
    match from.read(bytes) {
        Ok(0) => None,
        Ok(count) => Some(count),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Some(0),
        Err(_) => None,
    }
}
