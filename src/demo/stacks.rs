//! The stacks of the simulated service, as data.
//!
//! They were read from a real program of that shape, built with Go 1.27.3 for linux/amd64: functions, lines,
//! addresses, offsets and arguments are what its profiles said. The gRPC client stands for any dependency;
//! its lines are approximate. One frame a line, so that it reads as a table.

#![expect(
    clippy::unreadable_literal,
    reason = "addresses are written as Go prints them"
)]

use super::frame::{Creation, Frame, Root, Stack, created, frame, stack};

const fn go(
    function: &'static str,
    file: &'static str,
    line: u32,
    pc: u64,
    offset: u64,
    args: &'static str,
) -> Frame {
    frame(function, Root::Go, (file, line), pc, offset, args)
}

const fn grpc(
    function: &'static str,
    file: &'static str,
    line: u32,
    pc: u64,
    offset: u64,
    args: &'static str,
) -> Frame {
    frame(function, Root::Grpc, (file, line), pc, offset, args)
}

const fn app(
    function: &'static str,
    file: &'static str,
    line: u32,
    pc: u64,
    offset: u64,
    args: &'static str,
) -> Frame {
    frame(function, Root::App, (file, line), pc, offset, args)
}

/// The runtime's part of a `select`.
#[rustfmt::skip]
const SELECT: &[Frame] = &[
    go("runtime.gopark", "runtime/proc.go", 474, 0x48a729, 0, ""),
    go("runtime.selectgo", "runtime/select.go", 351, 0x463956, 0, ""),
];

/// The runtime's part of `for range` over a channel.
#[rustfmt::skip]
const RECEIVE: &[Frame] = &[
    go("runtime.gopark", "runtime/proc.go", 474, 0x48a729, 0, ""),
    go("runtime.chanrecv", "runtime/chan.go", 667, 0x4180ad, 0, ""),
    go("runtime.chanrecv2", "runtime/chan.go", 514, 0x417bf1, 0, ""),
];

/// The part of a lock that no call site shares with its caller.
#[rustfmt::skip]
const LOCK: &[Frame] = &[
    go("runtime.gopark", "runtime/proc.go", 474, 0x48a729, 0, ""),
    go("runtime.goparkunlock", "runtime/proc.go", 480, 0x4646f1, 0, ""),
    go("runtime.semacquire1", "runtime/sema.go", 192, 0x4646c8, 0, ""),
    go("internal/sync.runtime_SemacquireMutex", "runtime/sema.go", 95, 0x48bb04, 0x24, "(0x0?, 0x0?, 0x0?)"),
    go("internal/sync.(*Mutex).lockSlow", "internal/sync/mutex.go", 149, 0x495559, 0x159, "(0x2d6ab1e06148)"),
];

/// A read from a connection.
#[rustfmt::skip]
const READ: &[Frame] = &[
    go("runtime.gopark", "runtime/proc.go", 474, 0x48a729, 0, ""),
    go("runtime.netpollblock", "runtime/netpoll.go", 575, 0x44a476, 0, ""),
    go("internal/poll.runtime_pollWait", "runtime/netpoll.go", 351, 0x489924, 0x84, "(0x7f532c796a00, 0x72)"),
    go("internal/poll.(*pollDesc).wait", "internal/poll/fd_poll_runtime.go", 84, 0x4d28a6, 0x26, "(0x2d6ab1e42180?, 0x100?, 0x0)"),
    go("internal/poll.(*pollDesc).waitRead", "internal/poll/fd_poll_runtime.go", 89, 0x4d3307, 0x2a7, "(...)"),
    go("internal/poll.(*FD).Read", "internal/poll/fd_unix.go", 170, 0x4d32f5, 0x295, "(0x2d6ab1e42280, {0x2d6ab1e98000, 0x1000, 0x1000})"),
    go("net.(*netFD).Read", "net/fd_posix.go", 68, 0x4ee984, 0x24, "(0x2d6ab1e42280, {0x2d6ab1e98000?, 0x0?, 0x0?})"),
    go("net.(*conn).Read", "net/net.go", 196, 0x4f7164, 0x44, "(0x2d6ab1e08108, {0x2d6ab1e98000?, 0x0?, 0x0?})"),
];

/// How a handler was reached.
#[rustfmt::skip]
const SERVE: &[Frame] = &[
    go("net/http.HandlerFunc.ServeHTTP", "net/http/server.go", 2358, 0x663ce8, 0x28, "(0xad4f40?, {0xa82258?, 0x2d6abb3b2000?}, 0x65be5a?)"),
    go("net/http.(*ServeMux).ServeHTTP", "net/http/server.go", 2923, 0x66586e, 0x1ce, "(0x4879d9?, {0xa82258, 0x2d6abb3b2000}, 0x2d6ab1dd6000)"),
    go("net/http.serverHandler.ServeHTTP", "net/http/server.go", 3436, 0x682dad, 0x8d, "({0x2d6ab1dde000?}, {0xa82258?, 0x2d6abb3b2000?}, 0x1?)"),
    go("net/http.(*conn).serve", "net/http/server.go", 2157, 0x66235b, 0x6db, "(0x2d6ab1dd2000, {0xa82560, 0x2d6ab1e13530})"),
];

/// A kept-alive connection between two requests.
#[rustfmt::skip]
const IDLE: &[Frame] = &[
    go("net/http.(*connReader).Read", "net/http/server.go", 856, 0x65c30f, 0x14f, "(0x2d6ab1dde2c0, {0x2d6ab2080000, 0x1000, 0x1000})"),
    go("bufio.(*Reader).fill", "bufio/bufio.go", 113, 0x4bfd82, 0x102, "(0x2d6ab1e1a720)"),
    go("bufio.(*Reader).Peek", "bufio/bufio.go", 152, 0x4bfeb1, 0x51, "(0x2d6ab1e1a720, 0x9)"),
    go("net/http.(*conn).serve", "net/http/server.go", 2193, 0x6624b2, 0x832, "(0x2d6ab1dd23f0, {0xa82560, 0x2d6ab1e13530})"),
];

/// A request that waits for its event to be enriched.
#[rustfmt::skip]
const HANDLE_EVENT: &[Frame] = &[
    app("main.(*Server).handleEvent", "server.go", 22, 0x6bc453, 0x153, "(0x2d6ab1e143c0, {0x0?, 0x2d6ab1e30184?}, 0x2d6ab1e9aa00)"),
];

/// Watches a connection whose request is being handled.
#[rustfmt::skip]
const BACKGROUND_READ: &[Frame] = &[
    go("net/http.(*connReader).backgroundRead", "net/http/server.go", 746, 0x65bef1, 0x31, "(0x2d6ab1dde1c0)"),
];

/// A worker without work.
#[rustfmt::skip]
const WORK: &[Frame] = &[
    app("main.(*Pool).work", "background.go", 24, 0x6bb304, 0x44, "(0x0?)"),
];

/// A shard of the cache.
#[rustfmt::skip]
const EVICT: &[Frame] = &[
    app("main.(*Cache).evict", "background.go", 46, 0x6bb4b9, 0x59, "(0x2d6ab1e14350)"),
];

/// Writes metrics now and then.
#[rustfmt::skip]
const FLUSH: &[Frame] = &[
    app("main.(*Metrics).flush", "background.go", 58, 0x6bb527, 0x47, "(0x0?)"),
];

/// Sleeps between heartbeats.
#[rustfmt::skip]
const HEARTBEAT: &[Frame] = &[
    go("runtime.gopark", "runtime/proc.go", 474, 0x48a729, 0, ""),
    go("time.Sleep", "runtime/time.go", 368, 0x48e684, 0x164, "(0x34630b8a000)"),
    app("main.heartbeat", "background.go", 65, 0x6bb57c, 0x1c, "()"),
];

/// Takes turns at the ledger.
#[rustfmt::skip]
const SETTLE: &[Frame] = &[
    go("internal/sync.(*Mutex).Lock", "internal/sync/mutex.go", 70, 0x6bb5dc, 0x3c, "(...)"),
    go("sync.(*Mutex).Lock", "sync/mutex.go", 46, 0x6bb5ba, 0x1a, "(...)"),
    app("main.(*Ledger).Append", "background.go", 73, 0x6bb5be, 0x1e, "(0x0?, 0x0?)"),
    app("main.(*Ledger).settle", "background.go", 80, 0x6bb664, 0x24, "(0x2d6ab1e06148)"),
];

/// Waits for the next message of a stream.
#[rustfmt::skip]
const WATCH_PRICES: &[Frame] = &[
    grpc("google.golang.org/grpc.(*ClientStream).RecvMsg", "stream.go", 918, 0x508e26, 0x86, "(0x0?, {0xa82598?, 0x2d6ab1e403c0?})"),
    app("main.(*Prices).watch", "background.go", 88, 0x6bb6d5, 0x35, "(0x2d6ab1e080e8, {0xa82598, 0x2d6ab1e403c0})"),
];

/// Waits for all workers to end.
#[rustfmt::skip]
const SUPERVISE: &[Frame] = &[
    go("runtime.gopark", "runtime/proc.go", 474, 0x48a729, 0, ""),
    go("runtime.goparkunlock", "runtime/proc.go", 480, 0x4646f1, 0, ""),
    go("runtime.semacquire1", "runtime/sema.go", 192, 0x4646c8, 0, ""),
    go("sync.runtime_SemacquireWaitGroup", "runtime/sema.go", 114, 0x48bc2d, 0x2d, "(0x0?, 0x0?)"),
    go("sync.(*WaitGroup).Wait", "sync/waitgroup.go", 206, 0x496d64, 0x84, "(0x2d6ab1e06160)"),
    app("main.(*Supervisor).wait", "background.go", 95, 0x6bb734, 0x14, "(0x0?)"),
];

/// Opens database connections.
#[rustfmt::skip]
const OPENER: &[Frame] = &[
    go("database/sql.(*DB).connectionOpener", "database/sql/sql.go", 1266, 0x53e5a8, 0x88, "(0x2d6ab1e1d2b0, {0xa82598, 0x2d6ab1e40320})"),
];

/// Closes old database connections.
#[rustfmt::skip]
const CLEANER: &[Frame] = &[
    go("database/sql.(*DB).connectionCleaner", "database/sql/sql.go", 1109, 0x53dd5d, 0x9d, "(0x2d6ab1e1d2b0, 0x0?)"),
];

/// Waits for signals.
#[rustfmt::skip]
const SIGNALS: &[Frame] = &[
    go("runtime.notetsleepg", "runtime/lock_futex.go", 123, 0x41daa8, 0, ""),
    go("os/signal.signal_recv", "runtime/sigqueue.go", 152, 0x48c857, 0x97, "()"),
    go("os/signal.loop", "os/signal/signal_unix.go", 23, 0x6baeb2, 0x12, "()"),
];

/// Reads from a gRPC connection.
#[rustfmt::skip]
const GRPC_READER: &[Frame] = &[
    go("bufio.(*Reader).fill", "bufio/bufio.go", 113, 0x4bfd82, 0x102, "(0x2d6ab1e1a720)"),
    go("bufio.(*Reader).Peek", "bufio/bufio.go", 152, 0x4bfeb1, 0x51, "(0x2d6ab1e1a720, 0x9)"),
    grpc("google.golang.org/grpc/internal/transport.(*http2Client).reader", "internal/transport/http2_client.go", 1640, 0x508ac7, 0x27, "(0x2d6ab1e133e0)"),
];

/// Writes to a gRPC connection.
#[rustfmt::skip]
const GRPC_WRITER: &[Frame] = &[
    grpc("google.golang.org/grpc/internal/transport.(*controlBuffer).get", "internal/transport/controlbuf.go", 418, 0x508a76, 0x56, "(0x2d6ab1e14470)"),
    grpc("google.golang.org/grpc/internal/transport.(*loopyWriter).run", "internal/transport/controlbuf.go", 570, 0x5089f5, 0x15, "(0x0?)"),
    grpc("google.golang.org/grpc/internal/transport.startLoopy", "internal/transport/http2_client.go", 464, 0x5089bc, 0x1c, "(0x0?)"),
];

/// Runs callbacks of a gRPC connection in order.
#[rustfmt::skip]
const GRPC_CALLBACKS: &[Frame] = &[
    grpc("google.golang.org/grpc/internal/grpcsync.(*CallbackSerializer).run", "internal/grpcsync/callback_serializer.go", 88, 0x4b2c76, 0xb6, "(0x2d6ab1e08110, {0xa82598, 0x2d6ab1e40000})"),
];

/// Reads from a connection to another service.
#[rustfmt::skip]
const CLIENT_READ: &[Frame] = &[
    go("net/http.(*persistConn).Read", "net/http/transport.go", 2300, 0x6799e6, 0x46, "(0x2d6ab1e9a280, {0x2d6ab1eab000?, 0x70?, 0x0?})"),
    go("bufio.(*Reader).fill", "bufio/bufio.go", 113, 0x4bfd82, 0x102, "(0x2d6ab1e1a720)"),
    go("bufio.(*Reader).Peek", "bufio/bufio.go", 152, 0x4bfeb1, 0x51, "(0x2d6ab1e1a720, 0x9)"),
    go("net/http.(*persistConn).readLoop", "net/http/transport.go", 2493, 0x67a59d, 0x17d, "(0x2d6ab1e9a280)"),
];

/// Writes to it.
#[rustfmt::skip]
const CLIENT_WRITE: &[Frame] = &[
    go("net/http.(*persistConn).writeLoop", "net/http/transport.go", 2833, 0x67be85, 0xe5, "(0x2d6ab1e9a780)"),
];

/// The main goroutine.
#[rustfmt::skip]
const ACCEPT: &[Frame] = &[
    go("runtime.gopark", "runtime/proc.go", 474, 0x48a729, 0, ""),
    go("runtime.netpollblock", "runtime/netpoll.go", 575, 0x44a476, 0, ""),
    go("internal/poll.runtime_pollWait", "runtime/netpoll.go", 351, 0x489924, 0x84, "(0x7f532c796a00, 0x72)"),
    go("internal/poll.(*pollDesc).wait", "internal/poll/fd_poll_runtime.go", 84, 0x4d28a6, 0x26, "(0x2d6ab1e42180?, 0x100?, 0x0)"),
    go("internal/poll.(*pollDesc).waitRead", "internal/poll/fd_poll_runtime.go", 89, 0x4d3d9c, 0x27c, "(...)"),
    go("internal/poll.(*FD).Accept", "internal/poll/fd_unix.go", 618, 0x4d3d8a, 0x26a, "(0x2d6ab1e42180)"),
    go("net.(*netFD).accept", "net/fd_unix.go", 149, 0x4ef748, 0x28, "(0x2d6ab1e42180)"),
    go("net.(*TCPListener).accept", "net/tcpsock_posix.go", 159, 0x4fe5fa, 0x1a, "(0x2d6ab1e02280)"),
    go("net.(*TCPListener).Accept", "net/tcpsock.go", 387, 0x4fda4f, 0x2f, "(0x2d6ab1e02280)"),
    go("net/http.(*Server).Serve", "net/http/server.go", 3574, 0x666978, 0x378, "(0x2d6ab1e9a000, {0xa82108, 0x2d6ab1e02280})"),
    app("main.main", "main.go", 65, 0x6bc144, 0x5a4, "()"),
    go("runtime.main", "runtime/proc.go", 302, 0x4513e6, 0x426, ""),
];

/// The request for this very profile.
#[rustfmt::skip]
const PROFILE: &[Frame] = &[
    go("runtime.goroutineProfileWithLabels", "runtime/mprof.go", 1248, 0x446ff0, 0, ""),
    go("runtime.pprof_goroutineProfileWithLabels", "runtime/mprof.go", 1239, 0x4894fc, 0, ""),
    go("runtime/pprof.writeRuntimeProfile", "runtime/pprof/pprof.go", 848, 0x69f110, 0xb0, ""),
    go("runtime/pprof.writeGoroutine", "runtime/pprof/pprof.go", 781, 0x69ede4, 0x44, ""),
    go("runtime/pprof.(*Profile).WriteTo", "runtime/pprof/pprof.go", 405, 0x69bd48, 0x148, "(0xac77d0?, {0xa800d0?, 0x2d6abb3b2000?}, 0xc?)"),
    go("net/http/pprof.handler.ServeHTTP", "net/http/pprof/pprof.go", 272, 0x6b5c93, 0x553, "({0x2d6ab1e22191, 0x9}, {0xa82258, 0x2d6abb3b2000}, 0x2d6ab1dd6000)"),
    go("net/http/pprof.Index", "net/http/pprof/pprof.go", 391, 0x6b66db, 0xdb, "({0xa82258, 0x2d6abb3b2000}, 0x2d6ab1dd6000?)"),
];

/// Waits for the converter.
#[rustfmt::skip]
const CONVERT_LOCK: &[Frame] = &[
    go("internal/sync.(*Mutex).Lock", "internal/sync/mutex.go", 70, 0x6bb7e4, 0x84, "(...)"),
    go("sync.(*Mutex).Lock", "sync/mutex.go", 46, 0x6bb7a8, 0x48, "(...)"),
    app("main.(*Converter).StructToMap", "converter.go", 16, 0x6bb7ac, 0x4c, "(0xa6f268?, {0xa6f268, 0x2d6ab1de0400})"),
    app("main.(*Server).enrich", "server.go", 16, 0x6bc28d, 0x4d, "(0x2d6ab1e143c0, {0x2d6ab1e797d0?, 0x681917?}, {{0x725000, 0x1}, {0x0, 0x0}, {0x0, 0x0}, {0x0, ...}, ...}, ...)"),
];

/// The one that has it: a struct on its way into a map, by reflection.
#[rustfmt::skip]
const CONVERT: &[Frame] = &[
    go("internal/runtime/maps.(*table).uncheckedPutSlot", "internal/runtime/maps/table.go", 383, 0x4058ed, 0x2d, "(0x2d6ab1e70000, 0x6e2f40, 0x9c1b3a7755d20e11, 0x2d6ab4c01000, 0x2d6ab4c01010)"),
    go("internal/runtime/maps.(*table).split", "internal/runtime/maps/table.go", 1278, 0x406c04, 0x3a4, "(0x2d6ab1e70000, 0x6e2f40, 0x2d6ab1e720c0)"),
    go("internal/runtime/maps.(*table).rehash", "internal/runtime/maps/table.go", 1230, 0x406a4f, 0x14f, "(0x2d6ab1e70000?, 0x6e2f40?, 0x2d6ab1e720c0?)"),
    go("runtime.mapassign_faststr", "internal/runtime/maps/runtime_faststr.go", 395, 0x408f5e, 0, ""),
    app("main.(*Converter).StructToMap", "converter.go", 22, 0x6bba75, 0x315, "(0xa6f268?, {0xa6f268?, 0x2d6ab1e42680?})"),
    app("main.(*Server).enrich", "server.go", 16, 0x6bc28d, 0x4d, "(0x2d6ab1e143c0, {0x2d6ab1e797d0?, 0x681917?}, {{0x725000, 0x1}, {0x0, 0x0}, {0x0, 0x0}, {0x0, ...}, ...}, ...)"),
];

/// What `debug=2` shows in the place of [`PROFILE`]'s leaf.
#[rustfmt::skip]
const PROFILE_TEXT: &[Frame] = &[
    go("runtime/pprof.writeGoroutineStacks", "runtime/pprof/pprof.go", 816, 0x69ef28, 0x68, "({0xa800d0, 0x2d6abb3b2000})"),
    go("runtime/pprof.writeGoroutine", "runtime/pprof/pprof.go", 779, 0x69edc4, 0x24, "({0xa800d0?, 0x2d6abb3b2000?}, 0x2d6ab1dd6000?)"),
    go("runtime/pprof.(*Profile).WriteTo", "runtime/pprof/pprof.go", 405, 0x69bd48, 0x148, "(0xac77d0?, {0xa800d0?, 0x2d6abb3b2000?}, 0xc?)"),
    go("net/http/pprof.handler.ServeHTTP", "net/http/pprof/pprof.go", 272, 0x6b5c93, 0x553, "({0x2d6ab1e22191, 0x9}, {0xa82258, 0x2d6abb3b2000}, 0x2d6ab1dd6000)"),
    go("net/http/pprof.Index", "net/http/pprof/pprof.go", 391, 0x6b66db, 0xdb, "({0xa82258, 0x2d6abb3b2000}, 0x2d6ab1dd6000?)"),
];

const BY_SERVER: Creation = created(
    "net/http.(*Server).Serve",
    Root::Go,
    ("net/http/server.go", 3604),
    0x4fd,
    true,
);
const BY_REQUEST: Creation = created(
    "main.(*Server).handleEvent",
    Root::App,
    ("server.go", 21),
    0xe8,
    false,
);
const BY_GRPC: Creation = created(
    "google.golang.org/grpc/internal/transport.newHTTP2Client",
    Root::Grpc,
    ("internal/transport/http2_client.go", 407),
    0x345,
    true,
);

/// A `go` statement of the main function.
const fn by_main(line: u32, offset: u32) -> Creation {
    created("main.main", Root::App, ("main.go", line), offset, true)
}

/// The connection one goroutine of a client dialled.
const fn by_dial(line: u32, offset: u32) -> Creation {
    created(
        "net/http.(*Transport).dialConn",
        Root::Go,
        ("net/http/transport.go", line),
        offset,
        false,
    )
}

pub(super) static PROFILING: Stack = Stack {
    reason: "running",
    frames: &[PROFILE, SERVE],
    text_frames: Some(&[PROFILE_TEXT, SERVE]),
    created_by: Some(BY_SERVER),
};
pub(super) static MAIN: Stack = Stack {
    reason: "IO wait",
    frames: &[ACCEPT],
    text_frames: None,
    created_by: None,
};
pub(super) static IDLE_CONNECTION: Stack = stack("IO wait", &[READ, IDLE], BY_SERVER);
pub(super) static REQUEST: Stack = stack("select", &[SELECT, HANDLE_EVENT, SERVE], BY_SERVER);
pub(super) static REQUEST_WATCH: Stack = stack(
    "IO wait",
    &[READ, BACKGROUND_READ],
    created(
        "net/http.(*connReader).startBackgroundRead",
        Root::Go,
        ("net/http/server.go", 742),
        0xba,
        false,
    ),
);
pub(super) static WORKER: Stack = stack(
    "chan receive",
    &[RECEIVE, WORK],
    created("main.NewPool", Root::App, ("background.go", 17), 0x7a, true),
);
pub(super) static CACHE_SHARD: Stack = stack(
    "select",
    &[SELECT, EVICT],
    created(
        "main.NewCache",
        Root::App,
        ("background.go", 38),
        0x9b,
        true,
    ),
);
pub(super) static METRICS: Stack = stack("chan receive", &[RECEIVE, FLUSH], by_main(37, 0x1a5));
pub(super) static HEARTBEATS: Stack = stack("sleep", &[HEARTBEAT], by_main(38, 0x1b1));
pub(super) static LEDGER: Stack = stack("sync.Mutex.Lock", &[LOCK, SETTLE], by_main(41, 0x225));
pub(super) static PRICES: Stack = stack("select", &[SELECT, WATCH_PRICES], by_main(44, 0x2c8));
pub(super) static SUPERVISOR: Stack =
    stack("sync.WaitGroup.Wait", &[SUPERVISE], by_main(47, 0x334));
pub(super) static SQL_OPENER: Stack = stack(
    "select",
    &[SELECT, OPENER],
    created(
        "database/sql.OpenDB",
        Root::Go,
        ("database/sql/sql.go", 846),
        0x135,
        true,
    ),
);
pub(super) static SQL_CLEANER: Stack = stack(
    "select",
    &[SELECT, CLEANER],
    created(
        "database/sql.(*DB).startCleanerLocked",
        Root::Go,
        ("database/sql/sql.go", 1096),
        0x109,
        true,
    ),
);
pub(super) static SIGNAL_LOOP: Stack = stack(
    "syscall",
    &[SIGNALS],
    created(
        "os/signal.Notify.func2.1",
        Root::Go,
        ("os/signal/signal.go", 164),
        0x1f,
        true,
    ),
);
pub(super) static RPC_READER: Stack = stack("IO wait", &[READ, GRPC_READER], BY_GRPC);
pub(super) static RPC_WRITER: Stack = stack("select", &[SELECT, GRPC_WRITER], BY_GRPC);
pub(super) static RPC_CALLBACKS: Stack = stack(
    "select",
    &[SELECT, GRPC_CALLBACKS],
    created(
        "google.golang.org/grpc/internal/grpcsync.NewCallbackSerializer",
        Root::Grpc,
        ("internal/grpcsync/callback_serializer.go", 52),
        0xd0,
        true,
    ),
);
pub(super) static CLIENT_READER: Stack =
    stack("IO wait", &[READ, CLIENT_READ], by_dial(2123, 0x1da5));
pub(super) static CLIENT_WRITER: Stack =
    stack("select", &[SELECT, CLIENT_WRITE], by_dial(2124, 0x1e05));
/// What the leak is made of.
pub(super) static CONVERTER_QUEUE: Stack =
    stack("sync.Mutex.Lock", &[LOCK, CONVERT_LOCK], BY_REQUEST);
/// What keeps the queue waiting.
pub(super) static CONVERTING: Stack = stack("runnable", &[CONVERT], BY_REQUEST);
