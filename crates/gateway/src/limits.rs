//! Every bound of the gateway in one place, with the reason for its value.

use std::time::Duration;

/// Most bytes of a client's request head. Real agents send about 2 KiB.
pub(crate) const REQUEST_HEAD_BYTES: usize = 64 * 1024;

/// Most keys of one request that are tried. Clients send one, or the same in two places; each costs a
/// hash and a comparison with every tenant's key.
pub(crate) const CREDENTIALS_TRIED: usize = 8;

/// Most bytes of a session's name. Clients send a UUID; the pool remembers the names for minutes.
pub(crate) const SESSION_BYTES: usize = 256;

/// How much earlier than the client's own clock a request's deadline is, so that the answer which
/// says why still arrives; a twentieth of the time if that is less.
pub(crate) const CLIENT_CLOCK_MARGIN: Duration = Duration::from_millis(500);

/// How often a client's body is looked at for progress, and the least that must have come meanwhile. A body
/// that trickles holds memory and a place; 200 bytes a second is less than any network that people call one.
pub(crate) const BODY_PROGRESS_TIME: Duration = Duration::from_secs(5);
/// See [`BODY_PROGRESS_TIME`].
pub(crate) const BODY_PROGRESS_BYTES: usize = 1024;

/// What a request is charged of the memory for bodies besides its bytes: about what its task, its head and
/// its place in a queue take.
pub(crate) const REQUEST_OVERHEAD_BYTES: usize = 16 * 1024;

/// What a client that takes bytes slowly must take of an answer each second to be waited for.
pub(crate) const ANSWER_BYTES_PER_SECOND: u32 = 1024;

/// How long a connection may take to end once it was asked to, before it is cut.
pub(crate) const CLOSING_TIME: Duration = Duration::from_secs(5);

/// How long what a client still sends after an answer is read and dropped. A socket that is closed with
/// unread bytes is reset, and the reset may overtake the answer that says why.
pub(crate) const LINGER_TIME: Duration = Duration::from_secs(2);

/// Most bytes that are read and dropped so.
pub(crate) const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// Requests at a time on one HTTP/2 connection; more than an agent ever has, and what most servers allow.
pub(crate) const HTTP2_STREAMS: u32 = 128;

/// Most bytes of an answer that wait in an HTTP/2 stream for its client. A client that takes none may have
/// this much kept for each of its streams.
pub(crate) const HTTP2_SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Streams that a client may reset before the gateway has looked at them (HTTP/2 rapid reset,
/// CVE-2023-44487); past it the connection is closed.
pub(crate) const HTTP2_EARLY_RESETS: usize = 20;

/// Streams that a client may have reset by its own errors; past it the connection is closed.
pub(crate) const HTTP2_ERROR_RESETS: usize = 128;

/// Connections to an admin listener of its own: operators, scrapers and listeners to events.
pub(crate) const ADMIN_CONNECTIONS: usize = 1024;

/// Share of the file descriptors that client connections may have; the rest is for upstream connections,
/// listeners and files.
pub(crate) const CONNECTION_SHARE: (u64, u64) = (3, 4);

/// Most file descriptors that are asked for. Some systems allow a billion, and a table for them.
pub(crate) const DESCRIPTORS: u64 = 1 << 20;

/// Idle connections that are looked for at a time when room has to be made; looking costs a pass over all.
pub(crate) const EVICTED_TOGETHER: usize = 64;

/// Pause after no connection could be accepted or made for want of descriptors: time for some to be closed.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The least time between two log lines that say the same of connections.
pub(crate) const SAME_LINE_AFTER: Duration = Duration::from_secs(10);

/// How often a worker looks how late it is.
pub(crate) const PRESSURE_LOOK: Duration = Duration::from_millis(5);

/// A worker that was late at every look for this long is overloaded.
pub(crate) const PRESSURE_TIME: Duration = Duration::from_millis(500);

/// It is so until it was in time at every look for this long.
pub(crate) const PRESSURE_MEMORY: Duration = Duration::from_secs(2);

/// Critical requests stand at the door of an overloaded worker this many times as long.
pub(crate) const PRESSURE_CRITICAL: u32 = 4;

/// Least share of a CPU, in percent, that a worker used itself while it was late. One that was late
/// because others had the CPU would win nothing by refusing.
pub(crate) const PRESSURE_CPU_PERCENT: u32 = 20;

/// Refusals of one worker, each millisecond. Each costs some 8 µs: so they take a tenth of a CPU at most, and
/// what they cannot refuse stands at the door instead, which costs nothing.
pub(crate) const REFUSALS_PER_MS: usize = 10;

/// What a client is told to wait when the gateway itself has too much to do; up to as much again is added,
/// so that those who were refused together do not come back together.
pub(crate) const REFUSED_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Most look-ups of host names of one worker that are under way; each takes a thread.
pub(crate) const LOOKUPS: usize = 32;

/// Most bytes read of an upstream's error body; real ones are below 4 KiB.
pub(crate) const ERROR_BODY_BYTES: usize = 64 * 1024;

/// How long an upstream may take to send an error body once its head is here.
pub(crate) const ERROR_BODY_TIME: Duration = Duration::from_secs(10);

/// A plain answer up to this size is held until it is whole, so that a break can be cured by another
/// key; a larger one (embeddings of a large batch) is passed through as it comes.
pub(crate) const HELD_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// Most bytes of a stream's events held back while its first real one is awaited.
pub(crate) const HELD_STREAM_BYTES: usize = 256 * 1024;

/// How long a stream is held back for its first real event. Past it the head goes out, since a
/// client that sees keep-alives is better off than one that sees nothing.
pub(crate) const HELD_STREAM_TIME: Duration = Duration::from_secs(15);

/// How often the idle time may pass with nothing but keep-alives in a stream. With the default of two
/// minutes, ten: as long as the most patient provider keeps a request alive whose answer has not begun.
pub(crate) const IDLE_TIMES_WITHOUT_MEANING: u32 = 5;

/// How long an upstream may keep a stream open after its end marker. It ends the client's answer; closed
/// in time, the connection can be used again.
pub(crate) const END_TO_CLOSE: Duration = Duration::from_secs(1);

/// How long nothing may come of an answer that has said all: finished, with its usage stated, in an API whose
/// end no marker tells. It ends the client's answer. Longer than [`END_TO_CLOSE`], since it is inferred.
pub(crate) const SAID_TO_CLOSE: Duration = Duration::from_secs(3);

/// Bytes decoded at a time, of an answer that came encoded.
pub(crate) const DECODED_CHUNK_BYTES: usize = 16 * 1024;

/// How many times as large as its encoded bytes an answer may be. Text comes to 3 to 20 times; a bomb of
/// DEFLATE to a thousand times, one of brotli to far more.
pub(crate) const EXPANSION_RATIO: u64 = 200;

/// Decoded bytes for which the ratio is not looked at, since short answers that repeat themselves compress
/// well. Below what is held of a plain answer, so that a bomb is found while another key may still cure it.
pub(crate) const EXPANSION_SLACK_BYTES: u64 = 4 * 1024 * 1024;

/// The largest window of zstd, as a power of two: the 8 MiB that HTTP allows (RFC 9659).
pub(crate) const ZSTD_WINDOW_LOG: u32 = 23;

/// How many bytes of a stream are gathered before they are written in one go.
pub(crate) const GATHERED_BYTES: usize = 32 * 1024;

/// How often the relay lets the upstream connection run before it writes what it has. hyper hands
/// out one chunk a poll; without this each event costs a system call.
pub(crate) const GATHERING_YIELDS: u8 = 3;

/// Open requests after which a further upstream connection pool is begun. HTTP/2 servers commonly
/// allow 100 streams a connection and queue silently beyond it.
pub(crate) const STREAMS_PER_UPSTREAM_CONNECTION: usize = 90;

/// How long an idle upstream connection is kept; below the 60 s after which load balancers close.
pub(crate) const UPSTREAM_IDLE: Duration = Duration::from_secs(50);

/// Prompts below it are in no provider's prompt cache (Anthropic's least prefix is 512 to 4096 tokens by
/// model, OpenAI's 1024), so that a request which names no conversation is tied to no key by its beginning.
pub(crate) const CACHED_PREFIX_TOKENS: u64 = 1024;

/// Most bytes of an admin request's body; an import of 10,000 keys fits.
pub(crate) const ADMIN_BODY_BYTES: usize = 4 * 1024 * 1024;

/// Most bytes of a frame in a stream of AWS's; an event of a model has some hundred.
pub(crate) const EVENT_FRAME_BYTES: usize = 8 * 1024 * 1024;

/// How long a service account's exchange for a token may take.
pub(crate) const TOKEN_TIME: Duration = Duration::from_secs(10);

/// How long before its end a token is renewed; a quarter of its life if that is less. Google's last an hour.
pub(crate) const TOKEN_RENEWAL: Duration = Duration::from_mins(5);

/// How long a probe of a key may take.
pub(crate) const PROBE_TIME: Duration = Duration::from_secs(15);

/// How long a provider may take to list its models.
pub(crate) const MODEL_LIST_TIME: Duration = Duration::from_secs(5);

/// How long a provider's list of models is believed.
pub(crate) const MODEL_LIST_KEPT: Duration = Duration::from_mins(10);

/// How long a provider is left alone that did not list its models.
pub(crate) const MODEL_LIST_PAUSE: Duration = Duration::from_mins(1);

/// Most bytes of a provider's list of models. OpenRouter's, the longest, has less than one mebibyte.
pub(crate) const MODEL_LIST_BYTES: usize = 4 * 1024 * 1024;

/// Most models of one provider that are listed.
pub(crate) const MODELS_LISTED: usize = 5000;

/// Most bytes of a listed model's name.
pub(crate) const MODEL_NAME_BYTES: usize = 512;

/// Most models on one page of a list, which is what Anthropic and Gemini give at most.
pub(crate) const MODELS_PER_PAGE: usize = 1000;

/// A wait beyond this is not worth a client's retry: official SDKs sleep as long as they are told
/// to, so such an answer carries `x-should-retry: false`.
pub(crate) const LONGEST_CLIENT_WAIT: Duration = Duration::from_mins(1);

/// What a client is told to wait when an upstream that is overloaded named no time itself.
pub(crate) const OVERLOAD_RETRY_AFTER: Duration = Duration::from_secs(3);

/// Alerts kept for operators who look later.
pub(crate) const ALERTS_KEPT: usize = 256;

/// Events that a listener may fall behind before it loses the oldest.
pub(crate) const EVENTS_BUFFERED: usize = 1024;

/// Requests that a recorder of traces may fall behind before it loses the oldest: some seconds at full load.
pub(crate) const TRACE_BUFFERED: usize = 65_536;

/// Most recorders of traces at one time.
pub(crate) const TRACE_SUBSCRIBERS: usize = 4;

/// Most listeners to events at one time; each holds a connection open.
pub(crate) const EVENT_SUBSCRIBERS: usize = 64;

/// How often a client whose answer has begun while its request still waits gets a sign of life; below the
/// 30 s after which the most impatient proxies close.
pub(crate) const WAITING_KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How often a silent event stream carries a comment, so that proxies do not close it.
pub(crate) const EVENT_KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How often an open event stream looks whether a stop was asked for.
pub(crate) const EVENT_DRAIN_CHECK: Duration = Duration::from_millis(500);

/// Most bytes of an API key. Real ones have at most a few hundred.
pub(crate) const KEY_BYTES: usize = 4096;

/// Most characters of a name, a tag or a model glob given through the admin API.
pub(crate) const LABEL_CHARS: usize = 200;

/// Most tags or model globs of one key given through the admin API.
pub(crate) const LABELS_PER_KEY: usize = 100;

/// Most distinct reasons of failovers that are counted apart; providers choose some of the words.
pub(crate) const FAILOVER_REASONS: usize = 64;

const _: () = assert!(END_TO_CLOSE.as_millis() < SAID_TO_CLOSE.as_millis());
const _: () = assert!(EXPANSION_SLACK_BYTES * 2 <= HELD_ANSWER_BYTES as u64);
