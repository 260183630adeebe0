//! A file of the page as it goes out: packed once, for who takes it so, and not sent to who has it already.

use std::io::Write;
use std::sync::OnceLock;

use actix_web::http::header::{ACCEPT_ENCODING, HeaderName, IF_NONE_MATCH};
use actix_web::{HttpRequest, HttpResponse};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// Nothing from elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// One embedded file.
pub struct Asset {
    content_type: &'static str,
    body: &'static str,
    made: OnceLock<Made>,
}

/// What is worked out at the first request.
struct Made {
    /// Weak: it names the text, whichever way that is packed.
    etag: String,
    /// `None`: it could not be packed, and goes out as it is.
    gzip: Option<actix_web::web::Bytes>,
}

impl Asset {
    /// A file of that type.
    pub const fn new(content_type: &'static str, body: &'static str) -> Asset {
        Asset { content_type, body, made: OnceLock::new() }
    }

    /// The answer to a `GET`. A browser asks each time (`no-cache`), and is mostly told "as you have it".
    pub fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let made = self.made.get_or_init(|| make(self.body));
        let header =
            |name: HeaderName| request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
        let known = header(IF_NONE_MATCH).split(',').any(|tag| tag.trim() == made.etag);
        let mut answer = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        answer
            .insert_header(("Content-Security-Policy", POLICY))
            .insert_header(("X-Content-Type-Options", "nosniff"))
            .insert_header(("Referrer-Policy", "no-referrer"))
            .insert_header(("Cache-Control", "no-cache"))
            .insert_header(("ETag", made.etag.clone()))
            .insert_header(("Vary", "Accept-Encoding"));
        if known {
            return answer.finish();
        }
        answer.content_type(self.content_type);
        match &made.gzip {
            Some(gzip) if takes_gzip(header(ACCEPT_ENCODING)) => {
                answer.insert_header(("Content-Encoding", "gzip")).body(gzip.clone())
            }
            _ => answer.body(self.body),
        }
    }
}

fn make(body: &str) -> Made {
    let digest = Sha256::digest(body);
    let etag = format!("W/\"{}\"", digest[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let gzip = gzip.write_all(body.as_bytes()).and_then(|()| gzip.finish()).ok();
    Made { etag, gzip: gzip.map(Into::into) }
}

/// `gzip;q=0` is how a client says that it does not.
fn takes_gzip(accept: &str) -> bool {
    accept.split(',').any(|one| {
        let (coding, weight) = one.split_once(';').unwrap_or((one, ""));
        let weight = weight.trim().trim_start_matches("q=");
        matches!(coding.trim(), "gzip" | "*") && weight.parse().unwrap_or(1.0) > 0.0
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn gzip_is_for_who_takes_it() {
        for (accept, takes) in
            [("gzip, deflate, br", true), ("*", true), ("", false), ("br", false), ("br, gzip;q=0", false)]
        {
            assert_eq!(takes_gzip(accept), takes, "{accept}");
        }
    }

    #[test]
    fn what_is_packed_is_the_same_text_and_who_has_it_gets_nothing() {
        static PAGE: Asset = Asset::new("text/plain", "again and again and again and again");
        let made = make(PAGE.body);
        let mut text = String::new();
        let packed = made.gzip.expect("packed");
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).expect("unpacked");
        assert_eq!(text, PAGE.body);

        let fresh = PAGE.answer(&TestRequest::default().to_http_request());
        assert_eq!((fresh.status().as_u16(), fresh.headers().get("Content-Encoding")), (200, None));
        let tag = fresh.headers().get("ETag").expect("a tag").clone();
        let again = TestRequest::default().insert_header(("If-None-Match", tag)).to_http_request();
        assert_eq!(PAGE.answer(&again).status().as_u16(), 304);
        let other = TestRequest::default().insert_header(("If-None-Match", "W/\"0\"")).to_http_request();
        assert_eq!(PAGE.answer(&other).status().as_u16(), 200);
        let packs = TestRequest::default().insert_header(("Accept-Encoding", "gzip")).to_http_request();
        assert_eq!(PAGE.answer(&packs).headers().get("Content-Encoding").expect("packed"), "gzip");
    }
}
