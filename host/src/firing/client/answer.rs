//! The reading of an answer, the same whichever way it came: what is kept of its headers and of its body.
//!
//! Of the body, at most `firing.response_bytes_max` are read, counted after decompression; what goes on after that is left
//! to the caller to drop. Of the headers, as many are kept as fit into `firing.response_headers_bytes_max`.

use std::{
    error::Error,
    future::poll_fn,
    io::{self, Write},
    pin::Pin,
};

use flate2::write::MultiGzDecoder;
use hyper::{
    HeaderMap, Response,
    body::{Body, Bytes},
    header::{CONTENT_ENCODING, HeaderName, HeaderValue, RETRY_AFTER},
};

use super::failure::Failure;
use crate::{attempt::Outcome, settings::FiringSettings};

/// How much of an answer is kept, bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    body_bytes_max: usize,
    /// Names and values together. An HTTP client takes many times as much as is kept.
    headers_bytes_max: usize,
}

impl Bounds {
    /// The operator's.
    pub(super) fn new(settings: &FiringSettings) -> Self {
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Self {
            body_bytes_max: size(settings.response_bytes_max),
            headers_bytes_max: size(settings.response_headers_bytes_max),
        }
    }
}

/// Reads an answer whose head has come. The body is dropped with the call, read to its end or not.
pub(super) async fn read<B>(response: Response<B>, bounds: Bounds) -> Result<Outcome, Failure>
where
    B: Body<Data = Bytes, Error: Error + 'static> + Unpin,
{
    let (head, mut body) = response.into_parts();
    let status = head.status.as_u16();
    let mut kept = KeptBody::new(&head.headers, bounds.body_bytes_max);
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| Failure::broke_off(status, &error))?;
        // What is no data is a trailer, which nobody asks for.
        let Ok(piece) = frame.into_data() else { continue };
        kept.take(&piece).map_err(|error| Failure::broke_off(status, &error))?;
        if kept.is_cut() {
            break;
        }
    }
    let (body, body_cut) = kept.finish().map_err(|error| Failure::broke_off(status, &error))?;
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Outcome::Answered { status, headers: kept_headers(&head.headers, bounds.headers_bytes_max), body, body_cut })
}

/// What is kept of an answer's headers: whole ones, in their order, as many as fit into the bound. `Retry-After` is
/// always among them.
fn kept_headers(headers: &HeaderMap, bytes_max: usize) -> Vec<(String, String)> {
    let mut room = bytes_max;
    let fits = |(name, value): &(&HeaderName, &HeaderValue)| {
        let bytes = name.as_str().len() + value.len();
        let fits = bytes <= room;
        room -= if fits { bytes } else { 0 };
        fits || (*name == RETRY_AFTER && bytes <= bytes_max)
    };
    headers
        .iter()
        .filter(fits)
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

/// The beginning of a body, unpacked.
enum KeptBody {
    Plain(Bounded),
    /// Makes no decoder before there is something to unpack: a body of no bytes is none, packed or not.
    Gzip(Option<Box<MultiGzDecoder<Bounded>>>, usize),
}

impl KeptBody {
    fn new(headers: &HeaderMap, bytes_max: usize) -> Self {
        match headers.get(CONTENT_ENCODING).is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"gzip")) {
            true => KeptBody::Gzip(None, bytes_max),
            false => KeptBody::Plain(Bounded::new(bytes_max)),
        }
    }

    /// Takes the next piece. What does not fit is no error: see [`Self::is_cut`].
    fn take(&mut self, piece: &[u8]) -> io::Result<()> {
        let taken = match self {
            KeptBody::Plain(bounded) => bounded.write_all(piece),
            KeptBody::Gzip(..) if piece.is_empty() => Ok(()),
            KeptBody::Gzip(decoder, bytes_max) => {
                decoder.get_or_insert_with(|| Box::new(MultiGzDecoder::new(Bounded::new(*bytes_max)))).write_all(piece)
            }
        };
        if self.is_cut() { Ok(()) } else { taken }
    }

    /// Whether the body went on after the bound.
    fn is_cut(&self) -> bool {
        match self {
            KeptBody::Plain(bounded) => bounded.cut,
            KeptBody::Gzip(decoder, _) => decoder.as_ref().is_some_and(|decoder| decoder.get_ref().cut),
        }
    }

    /// What was kept, and whether it was cut. An error means that the packed body is not whole.
    fn finish(mut self) -> io::Result<(Vec<u8>, bool)> {
        if let KeptBody::Gzip(Some(decoder), _) = &mut self
            && !decoder.get_ref().cut
        {
            let finished = decoder.try_finish();
            if !decoder.get_ref().cut {
                finished?;
            }
        }
        Ok(match self {
            KeptBody::Plain(bounded) => (bounded.bytes, bounded.cut),
            KeptBody::Gzip(None, _) => (Vec::new(), false),
            KeptBody::Gzip(Some(mut decoder), _) => {
                let bounded = decoder.get_mut();
                (std::mem::take(&mut bounded.bytes), bounded.cut)
            }
        })
    }
}

/// Takes bytes up to a bound, and stops whoever writes more.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
    cut: bool,
}

impl Bounded {
    fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), bytes_max, cut: false }
    }
}

impl Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let room = self.bytes_max - self.bytes.len();
        self.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        self.cut |= piece.len() > room;
        match self.cut {
            true => Err(io::ErrorKind::FileTooLarge.into()),
            false => Ok(piece.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip_headers() -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("gzip"))])
    }

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn kept(headers: &HeaderMap, pieces: &[&[u8]], bytes_max: usize) -> io::Result<(Vec<u8>, bool)> {
        let mut kept = KeptBody::new(headers, bytes_max);
        for piece in pieces {
            kept.take(piece)?;
        }
        kept.finish()
    }

    #[test]
    fn the_bound_itself_is_whole_and_one_more_is_cut() {
        for (bytes_max, expected) in [(6, ("abcdef", false)), (5, ("abcde", true)), (0, ("", true))] {
            let expected = (expected.0.as_bytes().to_vec(), expected.1);
            assert_eq!(kept(&HeaderMap::new(), &[b"abc", b"", b"def"], bytes_max).unwrap(), expected, "{bytes_max}");
            let packed = packed(b"abcdef");
            let pieces: Vec<&[u8]> = packed.chunks(1).collect();
            assert_eq!(kept(&gzip_headers(), &pieces, bytes_max).unwrap(), expected, "{bytes_max}, packed");
        }
        assert_eq!(kept(&HeaderMap::new(), &[], 0).unwrap(), (Vec::new(), false));
    }

    #[test]
    fn headers_are_kept_whole_while_there_is_room_and_retry_after_before_others() {
        let headers = HeaderMap::from_iter([
            (HeaderName::from_static("a"), HeaderValue::from_static("12345")),
            (HeaderName::from_static("b"), HeaderValue::from_static("1234567890123456")),
            (HeaderName::from_static("c"), HeaderValue::from_static("123")),
            (RETRY_AFTER, HeaderValue::from_static("7")),
        ]);
        let names = |bytes_max| kept_headers(&headers, bytes_max).into_iter().map(|(name, _)| name).collect::<String>();
        assert_eq!(names(100), "abcretry-after");
        assert_eq!(names(12), "acretry-after", "there is room for six and four");
        assert_eq!(names(11), "ac", "not even alone does it fit");
    }

    #[test]
    fn what_is_packed_in_parts_is_unpacked_and_no_bytes_are_no_body() {
        let parts = [packed(b"one "), packed(b"two")].concat();
        assert_eq!(kept(&gzip_headers(), &[&parts], 100).unwrap(), (b"one two".to_vec(), false));
        assert_eq!(kept(&gzip_headers(), &[b""], 100).unwrap(), (Vec::new(), false));
    }

    #[test]
    fn a_packed_body_that_is_not_whole_is_an_error() {
        let whole = packed(b"abcdef");
        for end in 1..whole.len() {
            kept(&gzip_headers(), &[&whole[..end]], 100).unwrap_err();
        }
        let mut wrong = whole;
        let checksum = wrong.len() - 8;
        wrong[checksum] ^= 1;
        kept(&gzip_headers(), &[&wrong], 100).unwrap_err();
        kept(&gzip_headers(), &[b"nogzip, and long enough"], 100).unwrap_err();
    }
}
