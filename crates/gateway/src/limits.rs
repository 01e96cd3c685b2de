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

/// How long a client may take to send a request's head.
pub(crate) const REQUEST_HEAD_TIME: Duration = Duration::from_secs(30);

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

/// How long a probe of a key may take.
pub(crate) const PROBE_TIME: Duration = Duration::from_secs(15);

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

const _: () = assert!(EXPANSION_SLACK_BYTES * 2 <= HELD_ANSWER_BYTES as u64);
