//! A small file server for the built site: what a reader sees, and what the browser tests talk to.
//!
//! It sends no special header on purpose. The page must work on any static host, so the tests must not
//! run against something kinder than that.
//!
//! Everything that a client can use up is bounded: the bytes and the time of a request, the time of an
//! answer, and the number of connections, of which the oldest ends where one more comes. A connection
//! carries one request.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// Connections at once, each with a thread. A browser opens six to one host.
const MOST_CONNECTIONS: usize = 64;
/// The longest request that is read: a browser's is below 2 KiB.
const MOST_REQUEST: usize = 16 << 10;
/// What a client has for its request, and for taking the whole answer.
const REQUEST_TIME: Duration = Duration::from_secs(10);
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// What a client has to close its side after the answer, so that the answer is not lost.
const CLOSING_TIME: Duration = Duration::from_secs(1);
/// The pause after a connection could not be taken: the system has no more of them.
const PAUSE: Duration = Duration::from_millis(50);

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
    listener: Arc<TcpListener>,
    dir: Arc<PathBuf>,
    url: String,
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
        Ok(Self {
            listener: Arc::new(listener),
            dir: Arc::new(dir.to_path_buf()),
            url: url(address),
        })
    }

    /// The address to type into a browser, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers from threads of its own until the process ends.
    pub fn spawn(&self) {
        let (listener, dir) = (Arc::clone(&self.listener), Arc::clone(&self.dir));
        thread::spawn(move || {
            let open = Arc::new(Connections::default());
            for stream in listener.incoming() {
                match stream {
                    Ok(stream) => begin(stream, &open, &dir),
                    Err(_) => thread::sleep(PAUSE),
                }
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

/// The connections that are open, the oldest first.
#[derive(Default)]
struct Connections(Mutex<VecDeque<Arc<TcpStream>>>);

impl Connections {
    /// Adds one. Where there are as many as may be, the oldest ends: its client has had the longest time.
    fn add(&self, stream: &Arc<TcpStream>) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MOST_CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            // Its thread wakes with an error, or has ended by now.
            let _ = oldest.shutdown(Shutdown::Both);
        }
        open.push_back(Arc::clone(stream));
    }

    fn remove(&self, stream: &Arc<TcpStream>) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|other| !Arc::ptr_eq(other, stream));
    }
}

/// Answers one connection on a thread of its own.
fn begin(stream: TcpStream, open: &Arc<Connections>, dir: &Arc<PathBuf>) {
    let stream = Arc::new(stream);
    open.add(&stream);
    let work = {
        let (stream, open, dir) = (Arc::clone(&stream), Arc::clone(open), Arc::clone(dir));
        move || {
            // The other side closing early (a reload, a cancelled download) is no fault of ours.
            let _ = answer(&stream, &dir);
            open.remove(&stream);
        }
    };
    // Without a thread the connection closes; the client asks again.
    if thread::Builder::new().spawn(work).is_err() {
        open.remove(&stream);
    }
}

/// A connection until a moment: what is not read or written by then is an error.
struct Until<'s> {
    stream: &'s TcpStream,
    end: Instant,
}

impl<'s> Until<'s> {
    fn within(stream: &'s TcpStream, time: Duration) -> Self {
        Until {
            stream,
            end: Instant::now() + time,
        }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            Ok(Some(left))
        }
    }
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        (&mut &*self.stream).read(buffer)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        (&mut &*self.stream).write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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

/// What is sent back.
enum Answer {
    /// Status and sentence.
    Text(u16, &'static str),
    /// A file's content under its media type.
    File(File, &'static str),
}

/// Reads one request, answers it and waits for the other side to close.
fn answer(stream: &TcpStream, dir: &Path) -> io::Result<()> {
    let head = read_request(&mut Until::within(stream, REQUEST_TIME))?;
    let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(first);
    let mut words = line.split_ascii_whitespace();
    let (method, url, version) = (words.next(), words.next(), words.next());
    let known = version.is_some_and(|version| version.starts_with("HTTP/1."));
    let answer = match (method, url) {
        _ if head.len() >= MOST_REQUEST => Answer::Text(431, "The request is too long.\n"),
        (Some("GET" | "HEAD"), Some(url)) if known => file(url, dir),
        (Some(_), Some(_)) if known => Answer::Text(405, "Only GET and HEAD are answered here.\n"),
        _ => Answer::Text(400, "That is not a request of HTTP/1.1.\n"),
    };
    send(
        &mut Until::within(stream, ANSWER_TIME),
        answer,
        method == Some("HEAD"),
    )?;
    // What the client still sends is read and dropped; closing on it would cut the answer short.
    stream.shutdown(Shutdown::Write)?;
    let rest = Until::within(stream, CLOSING_TIME);
    io::copy(&mut rest.take(MOST_REQUEST as u64), &mut io::sink())?;
    Ok(())
}

/// The bytes up to the blank line, or [`MOST_REQUEST`] of them.
fn read_request(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut buffer = [0; 2048];
    while head.len() < MOST_REQUEST && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let free = buffer.len().min(MOST_REQUEST - head.len());
        match stream.read(&mut buffer[..free]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => head.extend_from_slice(&buffer[..read]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(head)
}

/// What is at an address.
fn file(url: &str, dir: &Path) -> Answer {
    let Some(path) = safe_path(url) else {
        return Answer::Text(400, "That is not a path of this site.\n");
    };
    let mut file = dir.join(path);
    if file.is_dir() {
        // Without the slash, the page's relative addresses would point one folder too high.
        let path = url.split(['?', '#']).next().unwrap_or_default();
        if !path.ends_with('/') {
            return Answer::Text(404, "Not found (a folder's address ends with a slash).\n");
        }
        file.push("index.html");
    }
    match File::open(&file) {
        Ok(open) => Answer::File(open, mime(&file)),
        Err(_) => Answer::Text(404, "Not found.\n"),
    }
}

fn send(stream: &mut impl Write, answer: Answer, only_head: bool) -> io::Result<()> {
    let (status, kind, length) = match &answer {
        Answer::Text(status, text) => (*status, "text/plain; charset=utf-8", text.len() as u64),
        Answer::File(file, kind) => (200, *kind, file.metadata()?.len()),
    };
    let name = match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        _ => "Request Header Fields Too Large",
    };
    let allow = if status == 405 {
        "Allow: GET, HEAD\r\n"
    } else {
        ""
    };
    // A rebuild must show at the next reload.
    write!(
        stream,
        "HTTP/1.1 {status} {name}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Cache-Control: no-cache\r\nConnection: close\r\n{allow}\r\n"
    )?;
    match answer {
        _ if only_head => {}
        Answer::Text(_, text) => stream.write_all(text.as_bytes())?,
        // No more than was announced, should the file grow.
        Answer::File(file, _) => {
            io::copy(&mut file.take(length), stream)?;
        }
    }
    Ok(())
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

    /// A folder with a page and a file that no socket's buffers hold, served.
    fn site(name: &str) -> Result<(Site, PathBuf)> {
        let name = format!("batchscope-serve-{name}-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("index.html"), "<p>hello")?;
        fs::write(dir.join("large.wasm"), vec![7; 32 << 20])?;
        let site = Site::new(&dir, take_port("127.0.0.1", 0)?)?;
        site.spawn();
        Ok((site, dir))
    }

    #[test]
    fn clients_that_do_not_read_starve_nobody() -> Result<()> {
        let (site, dir) = site("starve")?;
        let address = site.url().trim_start_matches("http://").to_owned();
        let mut silent = Vec::new();
        for i in 0..3 * MOST_CONNECTIONS {
            let mut stream = TcpStream::connect(&address)?;
            match i % 3 {
                // Asks for more than fits into the buffers and reads nothing.
                0 => write!(stream, "GET /large.wasm HTTP/1.1\r\n\r\n")?,
                // Never ends its request.
                1 => write!(stream, "GET / HTTP/1.1\r\n")?,
                // Says nothing.
                _ => {}
            }
            silent.push(stream);
            if i % 16 == 0 {
                assert!(ask(&site, "GET /")?.ends_with("<p>hello"));
            }
        }
        assert!(ask(&site, "GET /")?.ends_with("<p>hello"));
        // The oldest were ended, so that no more threads are at work than may be.
        let mut one = Vec::new();
        silent[1].set_read_timeout(Some(REQUEST_TIME / 2))?;
        assert_eq!(silent[1].read_to_end(&mut one)?, 0);
        fs::remove_dir_all(&dir)?;
        Ok(())
    }

    #[test]
    fn a_client_has_so_much_time_and_so_many_bytes() -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        // One byte in time, and then none.
        (&client).write_all(b"G")?;
        let mut until = Until::within(&server, Duration::from_millis(50));
        let error = read_request(&mut until).map_or_else(|e| e.kind(), |_| io::ErrorKind::Other);
        assert!(
            matches!(error, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock),
            "{error}"
        );
        // An answer that is not taken.
        let mut until = Until::within(&server, Duration::from_millis(50));
        let error = until.write_all(&vec![0; 64 << 20]).unwrap_err().kind();
        assert!(
            matches!(error, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock),
            "{error}"
        );

        let (site, dir) = site("long")?;
        let long = format!("GET /{}", "x".repeat(MOST_REQUEST));
        assert!(ask(&site, &long)?.starts_with("HTTP/1.1 431"));
        assert!(ask(&site, "nonsense")?.starts_with("HTTP/1.1 400"));
        fs::remove_dir_all(&dir)?;
        Ok(())
    }

    #[test]
    fn a_real_request_is_answered() -> Result<()> {
        let (site, dir) = site("ask")?;

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
