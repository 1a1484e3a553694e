//! A small file server for the built site: what a reader sees, and what the browser tests talk to.
//!
//! It sends no special header on purpose. The page must work on any static host, so the tests must not
//! run against something kinder than that.

use std::{
    fs::File,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tiny_http::{Header, Method, Request, Response, Server, StatusCode};

/// Threads that answer. A browser opens six connections to one host; a second tab may be open.
const THREADS: usize = 12;
/// How often the server knocks at its own door. tiny_http gives a connection to a waiting thread, and
/// of two that come at once both to the same one; the second then waits until the first is closed,
/// which browsers do after minutes. The next connection frees it: this is that connection.
const KNOCK: Duration = Duration::from_millis(100);

/// Takes `port` (0: any free one). Done before a build, so that a taken port is known at once and not
/// after minutes.
pub fn take_port(host: &str, port: u16) -> Result<TcpListener> {
    TcpListener::bind((host, port)).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "Port {port} on {host} is taken by another program. Choose another one: `cargo xtask serve --port {}`.",
            port.checked_add(1).unwrap_or(8080)
        ),
        io::ErrorKind::PermissionDenied => anyhow::anyhow!(
            "Port {port} is reserved for the system. Choose one above 1023: `cargo xtask serve --port 8080`."
        ),
        _ => anyhow::anyhow!(
            "Cannot listen on {host}, port {port}: {error}. Leave out --host to listen on this machine only."
        ),
    })
}

/// A server on its port; it answers only once [`run`](Self::run) or [`spawn`](Self::spawn) is called.
pub struct Site {
    server: Arc<Server>,
    dir: Arc<PathBuf>,
    url: String,
    /// Where this machine reaches it.
    address: SocketAddr,
}

impl Site {
    /// The site in `dir`, to be answered on a port that [`take_port`] has taken.
    pub fn new(dir: &Path, listener: TcpListener) -> Result<Self> {
        if !dir.join("index.html").is_file() {
            bail!(
                "There is no built site in {}. Run `cargo xtask build`, or leave out --no-build.",
                dir.display()
            );
        }
        let address = listener.local_addr().context("asking for the port")?;
        let server = Server::from_listener(listener, None)
            .map_err(|error| anyhow::anyhow!("Cannot start the server on {address}: {error}"))?;
        Ok(Self {
            server: Arc::new(server),
            dir: Arc::new(dir.to_path_buf()),
            url: url(address),
            address: if address.ip().is_unspecified() {
                SocketAddr::from(([127, 0, 0, 1], address.port()))
            } else {
                address
            },
        })
    }

    /// The address to type into a browser, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers from threads of its own until the process ends.
    pub fn spawn(&self) {
        for _ in 0..THREADS {
            let (server, dir) = (Arc::clone(&self.server), Arc::clone(&self.dir));
            thread::spawn(move || {
                for request in server.incoming_requests() {
                    // The other side closing early (a reload, a cancelled download) is no fault of ours.
                    let _ = answer(request, &dir);
                }
            });
        }
        let address = self.address;
        thread::spawn(move || {
            loop {
                thread::sleep(KNOCK);
                // Closed again at once; nobody answers where the server has ended.
                drop(TcpStream::connect_timeout(&address, KNOCK));
            }
        });
    }

    /// Answers until the process is ended.
    pub fn run(&self) {
        self.spawn();
        loop {
            thread::park();
        }
    }
}

/// Opens `url` in the reader's browser.
pub fn open(url: &str) -> Result<()> {
    let (program, args): (&str, &[&str]) = if cfg!(target_os = "macos") {
        ("open", &[])
    } else if cfg!(windows) {
        ("cmd", &["/C", "start", ""])
    } else {
        ("xdg-open", &[])
    };
    Command::new(program)
        .args(args)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| {
            format!("could not start `{program}` to open a browser; open {url} by hand")
        })?;
    Ok(())
}

fn url(address: SocketAddr) -> String {
    // "All addresses" is not one that a browser can open.
    if address.ip().is_unspecified() {
        format!("http://127.0.0.1:{}", address.port())
    } else {
        format!("http://{address}")
    }
}

fn answer(request: Request, dir: &Path) -> io::Result<()> {
    if !matches!(request.method(), Method::Get | Method::Head) {
        return request.respond(
            plain(405, "Only GET and HEAD are answered here.\n")
                .with_header(header("Allow", "GET, HEAD")),
        );
    }
    let Some(path) = safe_path(request.url()) else {
        return request.respond(plain(400, "That is not a path of this site.\n"));
    };
    let mut file = dir.join(path);
    if file.is_dir() {
        // Without the slash, the page's relative addresses would point one folder too high.
        if !request
            .url()
            .split(['?', '#'])
            .next()
            .unwrap_or_default()
            .ends_with('/')
        {
            return request.respond(plain(
                404,
                "Not found (a folder's address ends with a slash).\n",
            ));
        }
        file.push("index.html");
    }
    match File::open(&file) {
        Ok(open) => request.respond(
            Response::from_file(open)
                .with_header(header("Content-Type", mime(&file)))
                // A rebuild must show at the next reload.
                .with_header(header("Cache-Control", "no-cache"))
                // Sizes are known and small: never chunked, so that progress bars and HEAD tell the length.
                .with_chunked_threshold(usize::MAX),
        ),
        Err(_) => request.respond(plain(404, "Not found.\n")),
    }
}

fn plain(status: u16, text: &str) -> Response<io::Cursor<Vec<u8>>> {
    Response::from_string(text)
        .with_status_code(StatusCode(status))
        .with_header(header("Cache-Control", "no-cache"))
}

fn header(name: &str, value: &str) -> Header {
    match Header::from_bytes(name, value) {
        Ok(header) => header,
        // Only called with the literals of this file, which are ASCII.
        Err(()) => unreachable!("header {name}: {value} is not ASCII"),
    }
}

/// The file, relative to the site's folder, that the address `url` names; `None` for an address that
/// tries to leave the folder or is malformed.
fn safe_path(url: &str) -> Option<PathBuf> {
    let path = url.split(['?', '#']).next()?.strip_prefix('/')?;
    let path = percent_decoded(path)?;
    let mut safe = PathBuf::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            // Hidden files are never part of the site; ".." is one of them. A backslash or a colon
            // would mean something else on Windows.
            part if part.starts_with('.') || part.contains(['\\', ':', '\0']) => return None,
            part => safe.push(part),
        }
    }
    Some(safe)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || (rest.next()? as char).to_digit(16);
        // Two hexadecimal digits make at most 255.
        bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// The media type of a file by its ending. Browsers refuse modules and streaming wasm under any other.
fn mime(file: &Path) -> &'static str {
    let ending = file
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default();
    match ending {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "csv" => "text/csv; charset=utf-8",
        "txt" | "md" | "jsonl" | "LICENSE" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{Read, Write},
        net::TcpStream,
    };

    use super::*;

    #[test]
    fn ordinary_addresses_name_files() {
        let path = |url| safe_path(url).map(|path| path.to_string_lossy().replace('\\', "/"));
        assert_eq!(path("/").as_deref(), Some(""));
        assert_eq!(path("/index.html").as_deref(), Some("index.html"));
        assert_eq!(path("/www/a%20b.js?v=1#x").as_deref(), Some("www/a b.js"));
        assert_eq!(path("/./pkg//x.wasm").as_deref(), Some("pkg/x.wasm"));
    }

    #[test]
    fn no_address_leaves_the_folder() {
        for url in [
            "/../secret",
            "/www/../../secret",
            "/%2e%2e/secret",
            "/..%2fsecret",
            "/www/%2e%2e%5csecret",
            "/c:/secret",
            "/.git/config",
            "/a%00b",
            "/%zz",
            "/%f",
            "/%ff",
            "secret",
            "",
        ] {
            assert_eq!(safe_path(url), None, "{url}");
        }
    }

    #[test]
    fn what_browsers_insist_on_has_its_type() {
        assert_eq!(mime(Path::new("a/x_bg.wasm")), "application/wasm");
        assert_eq!(mime(Path::new("x.js")), "text/javascript; charset=utf-8");
        assert_eq!(mime(Path::new("x")), "application/octet-stream");
    }

    #[test]
    fn all_addresses_are_shown_as_one_that_opens() {
        assert_eq!(
            url(SocketAddr::from(([0, 0, 0, 0], 80))),
            "http://127.0.0.1:80"
        );
        assert_eq!(
            url(SocketAddr::from(([127, 0, 0, 1], 80))),
            "http://127.0.0.1:80"
        );
    }

    fn ask(site: &Site, request: &str) -> Result<String> {
        let mut stream = TcpStream::connect(site.url().trim_start_matches("http://"))?;
        write!(
            stream,
            "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    #[test]
    fn a_real_request_is_answered() -> Result<()> {
        let dir = std::env::temp_dir().join(format!("batchscope-serve-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("index.html"), "<p>hello")?;
        let site = Site::new(&dir, take_port("127.0.0.1", 0)?)?;
        site.spawn();

        let get = ask(&site, "GET /")?;
        assert!(
            get.starts_with("HTTP/1.1 200") && get.ends_with("<p>hello"),
            "{get}"
        );
        assert!(get.contains("Cache-Control: no-cache"), "{get}");
        let head = ask(&site, "HEAD /index.html")?;
        assert!(
            head.starts_with("HTTP/1.1 200") && head.contains("Content-Length: 8"),
            "{head}"
        );
        assert!(!head.contains("hello"), "{head}");
        assert!(ask(&site, "GET /no")?.starts_with("HTTP/1.1 404"));
        assert!(ask(&site, "GET /../x")?.starts_with("HTTP/1.1 400"));
        assert!(ask(&site, "POST /")?.starts_with("HTTP/1.1 405"));

        let port = site
            .url()
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        let again = take_port("127.0.0.1", port.context("no port in the address")?);
        let text = again.map_or_else(|error| error.to_string(), |_| String::new());
        assert!(text.contains("--port"), "{text}");
        fs::remove_dir_all(&dir)?;
        Ok(())
    }
}
