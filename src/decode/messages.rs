//! The messages of pprof's `profile.proto`, written out by hand so that no code generator is needed.
//!
//! Source: google/pprof `proto/profile.proto`; fields carry its names and tags. One difference: the string
//! table holds bytes. Go writes labels into it as they are, so it need not be UTF-8, and a decoder that
//! insists on it loses the whole profile.
//!
//! Plain data: what the numbers of a profile mean, and which of them to trust, is for the reader to know.

use prost::Message;

/// A profile: samples, and the tables their numbers point into.
#[derive(Clone, PartialEq, Message)]
pub struct Profile {
    /// What each value of a sample counts.
    #[prost(message, repeated, tag = "1")]
    pub sample_type: Vec<ValueType>,
    /// The samples.
    #[prost(message, repeated, tag = "2")]
    pub sample: Vec<Sample>,
    /// Files mapped into the process.
    #[prost(message, repeated, tag = "3")]
    pub mapping: Vec<Mapping>,
    /// Addresses in stacks.
    #[prost(message, repeated, tag = "4")]
    pub location: Vec<Location>,
    /// Functions.
    #[prost(message, repeated, tag = "5")]
    pub function: Vec<Function>,
    /// Every string, once; the first is empty. Other fields hold indices into it.
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub string_table: Vec<Vec<u8>>,
    /// Frames to leave out (a regular expression).
    #[prost(int64, tag = "7")]
    pub drop_frames: i64,
    /// Frames to keep nevertheless.
    #[prost(int64, tag = "8")]
    pub keep_frames: i64,
    /// When it was taken, in nanoseconds since 1970.
    #[prost(int64, tag = "9")]
    pub time_nanos: i64,
    /// How long it took, in nanoseconds.
    #[prost(int64, tag = "10")]
    pub duration_nanos: i64,
    /// What lies between two samples.
    #[prost(message, optional, tag = "11")]
    pub period_type: Option<ValueType>,
    /// How much of it.
    #[prost(int64, tag = "12")]
    pub period: i64,
    /// Free text.
    #[prost(int64, repeated, tag = "13")]
    pub comment: Vec<i64>,
    /// Which sample type to show first.
    #[prost(int64, tag = "14")]
    pub default_sample_type: i64,
    /// A link to documentation.
    #[prost(int64, tag = "15")]
    pub doc_url: i64,
}

/// What a value counts, and in which unit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct ValueType {
    /// The thing (`goroutine`).
    #[prost(int64, tag = "1")]
    pub r#type: i64,
    /// The unit (`count`).
    #[prost(int64, tag = "2")]
    pub unit: i64,
}

/// A stack and its values.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Sample {
    /// The stack, leaf first.
    #[prost(uint64, repeated, tag = "1")]
    pub location_id: Vec<u64>,
    /// One value for each sample type.
    #[prost(int64, repeated, tag = "2")]
    pub value: Vec<i64>,
    /// pprof labels.
    #[prost(message, repeated, tag = "3")]
    pub label: Vec<Label>,
}

/// A label of a sample: a string or a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct Label {
    /// Its key.
    #[prost(int64, tag = "1")]
    pub key: i64,
    /// Its value, if a string.
    #[prost(int64, tag = "2")]
    pub str: i64,
    /// Its value, if a number.
    #[prost(int64, tag = "3")]
    pub num: i64,
    /// The unit of the number.
    #[prost(int64, tag = "4")]
    pub num_unit: i64,
}

/// A mapped file.
#[expect(clippy::struct_excessive_bools, reason = "the message has them")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct Mapping {
    /// Its number, never 0.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// First address.
    #[prost(uint64, tag = "2")]
    pub memory_start: u64,
    /// First address past the end.
    #[prost(uint64, tag = "3")]
    pub memory_limit: u64,
    /// Where in the file it begins.
    #[prost(uint64, tag = "4")]
    pub file_offset: u64,
    /// The file's name.
    #[prost(int64, tag = "5")]
    pub filename: i64,
    /// What tells this build from others.
    #[prost(int64, tag = "6")]
    pub build_id: i64,
    /// Whether function names are known.
    #[prost(bool, tag = "7")]
    pub has_functions: bool,
    /// Whether file names are known.
    #[prost(bool, tag = "8")]
    pub has_filenames: bool,
    /// Whether lines are known.
    #[prost(bool, tag = "9")]
    pub has_line_numbers: bool,
    /// Whether inlined calls are known.
    #[prost(bool, tag = "10")]
    pub has_inline_frames: bool,
}

/// An address in a stack.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Location {
    /// Its number, never 0.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The mapping it lies in.
    #[prost(uint64, tag = "2")]
    pub mapping_id: u64,
    /// The address.
    #[prost(uint64, tag = "3")]
    pub address: u64,
    /// The calls there: several when calls were inlined, innermost first.
    #[prost(message, repeated, tag = "4")]
    pub line: Vec<Line>,
    /// Whether several symbols share the address.
    #[prost(bool, tag = "5")]
    pub is_folded: bool,
}

/// A line of a function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct Line {
    /// The function's number.
    #[prost(uint64, tag = "1")]
    pub function_id: u64,
    /// The line in its file.
    #[prost(int64, tag = "2")]
    pub line: i64,
    /// The column in that line.
    #[prost(int64, tag = "3")]
    pub column: i64,
}

/// A function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct Function {
    /// Its number, never 0.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Its name as people read it.
    #[prost(int64, tag = "2")]
    pub name: i64,
    /// Its name as the linker knows it.
    #[prost(int64, tag = "3")]
    pub system_name: i64,
    /// Its file.
    #[prost(int64, tag = "4")]
    pub filename: i64,
    /// The line it begins at.
    #[prost(int64, tag = "5")]
    pub start_line: i64,
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// The recorded profile, inflated. Its size is known, so no cap is needed.
    fn recorded() -> Vec<u8> {
        let body: &[u8] = include_bytes!("../../tests/data/go1.27.3/goroutine.debug0.pb.gz");
        let mut out = Vec::new();
        flate2::bufread::MultiGzDecoder::new(body)
            .read_to_end(&mut out)
            .expect("a recorded profile inflates");
        out
    }

    #[test]
    fn a_profile_of_go_is_read_whole() {
        let profile = Profile::decode(recorded().as_slice()).expect("it is a profile");
        assert_eq!(
            profile
                .sample
                .iter()
                .filter_map(|s| s.value.first())
                .sum::<i64>(),
            831
        );
        assert_eq!((profile.sample.len(), profile.mapping.len()), (90, 3));
        assert_eq!(profile.string_table.first().map(Vec::len), Some(0));
        // Nothing is dropped: written again it has the length it had, but for one byte wherever Go writes a
        // single number as such and prost as a list of one.
        let single = |len: usize| usize::from(len == 1);
        let lists: usize = profile
            .sample
            .iter()
            .map(|s| single(s.value.len()) + single(s.location_id.len()))
            .sum();
        assert_eq!(profile.encoded_len(), recorded().len() + lists);
    }

    #[test]
    fn strings_need_not_be_text() {
        let profile = Profile::decode(recorded().as_slice()).expect("it is a profile");
        assert!(
            profile
                .string_table
                .iter()
                .any(|s| std::str::from_utf8(s).is_err())
        );
    }
}
