//! The console: one small web application at `/`, on the calls of REST that everybody has. Here its files are served; they
//! are under `host/console` and embedded in the program.
//!
//! The page itself is asked for anew each time; all that it loads is under a path that has the digest of the files in it, so
//! that a browser may keep them for ever. No page of elsewhere may frame it, nothing of elsewhere is loaded, and no script
//! runs that is not one of these files.

use std::sync::LazyLock;

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use include_dir::{Dir, include_dir};
use ring::digest::{Context, SHA256};

use crate::api::front;

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/console");

/// What the page may do: run and load what is here, call what is here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
/// Stands in the page where its files are.
const FOLDER_MARK: &str = "{folder}";
/// Stands in the page where it says what it will load.
const MODULES_MARK: &str = "{modules}";
/// Hex digits of the digest that are in paths.
const DIGEST_DIGITS: usize = 16;

/// The page, and the digest of all files.
struct Page {
    text: String,
    digest: String,
}

static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let mut context = Context::new(&SHA256);
    for file in FILES.files() {
        context.update(file.path().to_string_lossy().as_bytes());
        context.update(file.contents());
    }
    let mut digest = hex::encode(context.finish());
    digest.truncate(DIGEST_DIGITS);
    let folder = format!("/console/{digest}");
    // Named in the page, so that a browser asks for all of them at once.
    let modules: Vec<_> = FILES
        .files()
        .filter_map(|file| file.path().to_str().filter(|name| name.ends_with(".js")))
        .map(|name| format!("<link rel=\"modulepreload\" href=\"{folder}/{name}\">"))
        .collect();
    let page = FILES.get_file("index.html").and_then(|file| file.contents_utf8()).unwrap_or_default();
    Page { text: page.replace(FOLDER_MARK, &folder).replace(MODULES_MARK, &modules.join("\n  ")), digest }
});

/// Serves it.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(page))
        .route("/favicon.ico", get(async || Redirect::permanent(&format!("/console/{}/icon.svg", PAGE.digest))))
        .route("/console/{digest}/{name}", get(file))
}

async fn page(headers: HeaderMap) -> Response {
    let tag = format!("\"{}\"", PAGE.digest);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let known = known.is_some_and(|known| front::names(known, &tag));
    let cached = [(header::CACHE_CONTROL, "no-cache".to_owned()), (header::ETAG, tag)];
    match known {
        true => (StatusCode::NOT_MODIFIED, cached).into_response(),
        false => {
            (guards(), cached, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE.text.as_str()).into_response()
        }
    }
}

/// One of the files; those of another version of the program are not here.
async fn file(Path((digest, name)): Path<(String, String)>) -> Response {
    let Some(file) = FILES.get_file(&name).filter(|_| digest == PAGE.digest && name != "index.html") else {
        return (StatusCode::NOT_FOUND, guards(), [(header::CACHE_CONTROL, "no-store")]).into_response();
    };
    let headers =
        [(header::CONTENT_TYPE, content_type(&name)), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (guards(), headers, file.contents()).into_response()
}

fn guards() -> [(HeaderName, &'static str); 4] {
    [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ]
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_its_files_and_runs_nothing_of_its_own() {
        let Page { text, digest } = &*PAGE;
        assert!(!text.contains('{'), "a mark was left: {text}");
        assert!(
            text.contains(&format!("/console/{digest}/main.js"))
                && text.contains(&format!("/console/{digest}/style.css"))
        );
        // The policy forbids them all: they would do nothing but say so in the browser's log.
        for forbidden in ["<style", " style=", " onclick=", " onload=", "javascript:", "http:", "https:"] {
            assert!(!text.contains(forbidden), "{forbidden}");
        }
        let scripts = text.matches("<script").count();
        assert_eq!(
            scripts,
            text.matches("<script type=\"module\" src=\"/console/").count()
                + text.matches("<script src=\"/console/").count()
        );
    }

    #[test]
    fn no_file_makes_markup_of_text() {
        for file in FILES.files().filter(|file| file.path().extension().is_some_and(|ending| ending == "js")) {
            let text = file.contents_utf8().unwrap_or_default();
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "localStorage.setItem(\"key",
            ] {
                assert!(!text.contains(forbidden), "{}: {forbidden}", file.path().display());
            }
        }
    }
}
