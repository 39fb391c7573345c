//! What a stack of the simulated service is made of.

/// Where a source file lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// The standard library.
    Go,
    /// A dependency in the module cache.
    Grpc,
    /// The service itself.
    App,
}

impl Root {
    /// The folder, with a slash at its end.
    pub(super) const fn folder(self) -> &'static str {
        match self {
            Self::Go => "/usr/local/go/src/",
            Self::Grpc => "/go/pkg/mod/google.golang.org/grpc@v1.64.0/",
            Self::App => "/src/orders/",
        }
    }
}

/// One call of a stack.
#[derive(Debug)]
pub(super) struct Frame {
    /// Symbol of the function.
    pub(super) function: &'static str,
    root: Root,
    file: &'static str,
    /// Source line.
    pub(super) line: u32,
    /// Address of the call: the return address less one.
    pub(super) pc: u64,
    /// `pc` less the entry of the function; 0 where no encoding shows it.
    pub(super) offset: u64,
    /// The arguments as `debug=2` prints them; empty where it does not show the frame.
    pub(super) args: &'static str,
}

impl Frame {
    /// Whether the compiler put this call into its caller, so that both share a location.
    pub(super) fn is_inlined(&self) -> bool {
        self.args == "(...)" || self.function == "runtime.goparkunlock"
    }

    /// Path of the source file.
    pub(super) fn path(&self) -> String {
        format!("{}{}", self.root.folder(), self.file)
    }
}

/// The `go` statement behind a goroutine.
#[derive(Debug)]
pub(super) struct Creation {
    /// The function that holds it.
    pub(super) function: &'static str,
    root: Root,
    file: &'static str,
    line: u32,
    offset: u32,
    /// Whether the main goroutine ran it; otherwise one that handled a connection.
    pub(super) by_main: bool,
}

impl Creation {
    /// File, line and offset as `debug=2` prints them.
    pub(super) fn place(&self) -> String {
        format!(
            "{}{}:{} +{:#x}",
            self.root.folder(),
            self.file,
            self.line,
            self.offset
        )
    }
}

/// What all goroutines of a population have in common.
#[derive(Debug)]
pub(super) struct Stack {
    /// The runtime's words for why they wait.
    pub(super) reason: &'static str,
    /// The stack in parts, leaf first.
    pub(super) frames: &'static [&'static [Frame]],
    /// The stack in `debug=2` where it is another: that of the goroutine that writes the profile.
    pub(super) text_frames: Option<&'static [&'static [Frame]]>,
    /// Absent for the main goroutine.
    pub(super) created_by: Option<Creation>,
}

impl Stack {
    /// The frames, leaf first.
    pub(super) fn frames(&self) -> impl Iterator<Item = &'static Frame> {
        self.frames.iter().copied().flatten()
    }

    /// The frames `debug=2` walks, leaf first.
    pub(super) fn text_frames(&self) -> impl Iterator<Item = &'static Frame> {
        self.text_frames
            .unwrap_or(self.frames)
            .iter()
            .copied()
            .flatten()
    }
}

/// A frame, from what a profile says of it.
pub(super) const fn frame(
    function: &'static str,
    root: Root,
    at: (&'static str, u32),
    pc: u64,
    offset: u64,
    args: &'static str,
) -> Frame {
    Frame {
        function,
        root,
        file: at.0,
        line: at.1,
        pc,
        offset,
        args,
    }
}

/// The `go` statement that began a goroutine.
pub(super) const fn created(
    function: &'static str,
    root: Root,
    at: (&'static str, u32),
    offset: u32,
    by_main: bool,
) -> Creation {
    Creation {
        function,
        root,
        file: at.0,
        line: at.1,
        offset,
        by_main,
    }
}

/// A stack that is the same in text.
pub(super) const fn stack(
    reason: &'static str,
    frames: &'static [&'static [Frame]],
    created_by: Creation,
) -> Stack {
    Stack {
        reason,
        frames,
        text_frames: None,
        created_by: Some(created_by),
    }
}
