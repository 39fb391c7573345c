//! `/snapshots`: the evidence that is kept, as a list, one by one, and raw for `go tool pprof`.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use maud::Markup;
use serde::Serialize;
use tokio::task::spawn_blocking;
use tracing::info;

use super::answer;
use super::evidence::snapshot;
use super::origin::refuse_cross_site;
use super::pages::profile::Profile;
use super::pages::snapshots::{ListPage, SnapshotPage};
use super::pages::{Links, problem};
use super::probe::{look, read};
use super::request::ModuleSet;
use super::state::{App, ServeOptions};
use super::target::{counted, made, parameter};
use crate::snapshots::{Entry, SnapshotId, Store, StoreError, Trigger};
use crate::target::Target;

const OFF: &str =
    "no snapshots are kept; start the exporter with --storage.path, or configure storage.path";

/// Characters of a target in the name of a file, at most.
const NAME_CHARS: usize = 80;

/// The form in which somebody wants something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Whatever suits: programs get facts.
    Any,
    Page,
    Json,
    Raw,
}

/// A snapshot in JSON.
#[derive(Debug, Serialize)]
struct Fact<'e> {
    id: &'e str,
    target: &'e str,
    module: &'e str,
    /// In RFC 3339, with milliseconds.
    taken: String,
    trigger: &'static str,
    goroutines: u64,
    bytes: u64,
}

/// `GET /snapshots`: all of them, newest first, or those of the parameter `target`, as it prints.
pub(super) async fn list(State(app): State<Arc<App>>, headers: HeaderMap, uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default();
    let form = form(&headers, query);
    let Some(store) = app.live().store.clone() else {
        return match form {
            Form::Page => listed(&app, None, None, form, &headers),
            _ => off(),
        };
    };
    // An empty field of the form asks for all of them.
    let target = parameter(query, "target").filter(|target| !target.is_empty());
    let asked = Arc::clone(&app);
    // The list can be long.
    made(&app, move || {
        listed(&asked, Some(&store), target.as_deref(), form, &headers)
    })
    .await
}

fn listed(
    app: &App,
    store: Option<&Arc<Store>>,
    target: Option<&str>,
    form: Form,
    headers: &HeaderMap,
) -> Response {
    let mut entries = store.map_or_else(Vec::new, |store| store.list());
    if let Some(target) = target {
        // In any spelling; what is no target matches as it is.
        let printed = target.parse::<Target>();
        let printed = printed.as_ref().map_or(target, Target::as_str);
        entries.retain(|entry| entry.target == printed);
    }
    if form != Form::Page {
        return Json(entries.iter().map(fact).collect::<Vec<_>>()).into_response();
    }
    let page = ListPage {
        links: &Links::new(&app.options.base, 0),
        storage: store.is_some(),
        downloads: may_download(app),
        entries,
        target: target.unwrap_or_default(),
        now: SystemTime::now(),
    };
    answer::large_page(headers, page.render())
}

/// `GET /snapshots/{id}`: what is known of it, or the profile itself.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let Some(store) = app.live().store.clone() else {
        return off();
    };
    let Some((id, entry)) = find(&store, &id) else {
        return unknown();
    };
    match form(&headers, uri.query().unwrap_or_default()) {
        Form::Page => {
            let against = parameter(uri.query().unwrap_or_default(), "against");
            let against = against.filter(|id| !id.is_empty());
            let shown = Arc::clone(&app);
            let make = move || {
                let page = page(&shown, &store, &id, against.as_deref());
                answer::large_page(&headers, page)
            };
            made(&app, make).await
        }
        Form::Any | Form::Json => Json(fact(&entry)).into_response(),
        Form::Raw if !may_download(&app) => {
            let sentence = "profiles can hold personal data; to download them start the exporter with --web.enable-lifecycle, or have --web.config.file ask for passwords";
            answer::text(StatusCode::FORBIDDEN, sentence)
        }
        Form::Raw => {
            let Ok(_request) = Arc::clone(&app.requests).try_acquire_owned() else {
                return answer::busy();
            };
            match spawn_blocking(move || store.read(&id)).await {
                Ok(Ok((entry, content))) => download(&entry, content),
                Ok(Err(error)) => failed(&error),
                Err(error) => answer::internal(&error),
            }
        }
    }
}

/// `POST /snapshots?target=&module=`: probes the target and keeps its profile.
pub(super) async fn take(State(app): State<Arc<App>>, request: Request) -> Response {
    let live = app.live();
    let Some(store) = live.store.clone() else {
        return off();
    };
    if let Some(refusal) = refuse_change(&app.options, request.headers(), request.uri()) {
        return refusal;
    }
    let form = form(request.headers(), request.uri().query().unwrap_or_default());
    let mut asked = match read(&app, &live, &request) {
        Ok((asked, _)) => asked,
        Err(answer) => return answer,
    };
    (asked.keep_body, asked.by_hand) = (true, true);
    let outcome = match look(&asked).await {
        Ok(outcome) => outcome,
        Err(answer) => return answer,
    };
    let new = match &outcome.result {
        Ok(report) => snapshot(&outcome, report, Trigger::Manual),
        Err(error) => {
            let sentence = format!("the target could not be read: {error}");
            return answer::text(StatusCode::BAD_GATEWAY, &sentence);
        }
    };
    let Some(new) = new else {
        let sentence = "the target's profile was not read whole, or as a text that go tool pprof does not open";
        return answer::text(StatusCode::BAD_GATEWAY, sentence);
    };
    // What was begun is finished whoever hangs up.
    let kept = spawn_blocking(move || {
        let kept = store.keep(&new);
        match &kept {
            Ok(id) => {
                app.metrics.snapshot_kept(Trigger::Manual);
                info!(target = %new.target, module = %new.module, trigger = %new.trigger, goroutines = new.goroutines, snapshot = %id, "snapshot kept");
            }
            Err(_) => app.metrics.snapshot_failed(),
        }
        let entry = kept.as_ref().ok().and_then(|id| store.entry(id));
        (kept.map(|id| (id, entry)), app)
    });
    match kept.await {
        // A browser goes on to what it asked to be kept.
        Ok((Ok((id, _)), app)) if form == Form::Page => {
            let links = Links::new(&app.options.base, 0);
            answer::see_other(&links.snapshot(id.as_str()))
        }
        Ok((Ok((id, entry)), app)) => created(&app.options, &id, entry.as_ref(), form),
        Ok((Err(error), _)) => failed(&error),
        Err(error) => answer::internal(&error),
    }
}

/// `DELETE /snapshots/{id}`.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    match drop_one(&app, &id, &headers, &uri).await {
        Ok(id) => answer::text(StatusCode::OK, &format!("snapshot {id} deleted")),
        Err(answer) => answer,
    }
}

/// `POST /snapshots/{id}/delete`: the same for pages, whose forms know no other method.
pub(super) async fn delete_by_form(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    match drop_one(&app, &id, &headers, &uri).await {
        Ok(_) => answer::see_other(&Links::new(&app.options.base, 2).path("snapshots")),
        Err(answer) => answer,
    }
}

async fn drop_one(
    app: &App,
    id: &str,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<SnapshotId, Response> {
    let store = app.live().store.clone().ok_or_else(off)?;
    if let Some(refusal) = refuse_change(&app.options, headers, uri) {
        return Err(refusal);
    }
    let (id, _) = find(&store, id).ok_or_else(unknown)?;
    let deleted = spawn_blocking(move || {
        let deleted = store.delete(&id);
        if deleted.is_ok() {
            info!(snapshot = %id, "snapshot deleted");
        }
        deleted.map(|()| id)
    });
    match deleted.await {
        Ok(Ok(id)) => Ok(id),
        Ok(Err(error)) => Err(failed(&error)),
        Err(error) => Err(answer::internal(&error)),
    }
}

/// The page of a snapshot. Reads files; blocking.
fn page(app: &App, store: &Arc<Store>, id: &SnapshotId, against: Option<&str>) -> Markup {
    let (options, live) = (&app.options, app.live());
    let config = &live.config;
    let links = Links::new(&options.base, 1);
    let (entry, content) = match store.read(id) {
        Ok(read) => read,
        Err(error) => return problem(&links, "This snapshot cannot be read", &error.to_string()),
    };
    // Modules may have been renamed since; the groups are then those of the default one.
    let names: Vec<String> = entry.module.split(',').map(str::to_owned).collect();
    let modules = ModuleSet::find(&names, config).or_else(|_| ModuleSet::find(&[], config));
    let module = modules.map_or_else(|_| Arc::default(), |modules| modules.module);
    let others = store.list().into_iter();
    SnapshotPage {
        links: &links,
        profile: Profile::read(&content, &module).map_err(|error| error.to_string()),
        others: others
            .filter(|other| other.target == entry.target && other.id != entry.id)
            .collect(),
        against: against.map(|id| counted(Some(store), id, &entry.target, &module)),
        downloads: may_download(app),
        deletes: may_change(options),
        now: SystemTime::now(),
        entry: &entry,
    }
    .render()
}

/// Whether snapshots may be taken and deleted over HTTP.
pub(super) fn may_change(options: &ServeOptions) -> bool {
    options.enable_lifecycle
}

/// Whether whoever reaches the exporter may have profiles as they came. Where nobody has to say who he is, that is for
/// the same switch to decide as everything else that is not for everybody.
pub(super) fn may_download(app: &App) -> bool {
    app.options.enable_lifecycle || app.is_authenticated()
}

/// The answer to a request that would change what is kept and may not.
fn refuse_change(options: &ServeOptions, headers: &HeaderMap, uri: &Uri) -> Option<Response> {
    if !may_change(options) {
        let sentence = "taking and deleting snapshots over HTTP is off; start the exporter with --web.enable-lifecycle";
        return Some(answer::text(StatusCode::FORBIDDEN, sentence));
    }
    refuse_cross_site(headers, uri, options.origin.as_deref())
}

/// The snapshot of this id, if there is one.
pub(super) fn find(store: &Store, id: &str) -> Option<(SnapshotId, Entry)> {
    let id = SnapshotId::parse(id)?;
    let entry = store.entry(&id)?;
    Some((id, entry))
}

fn off() -> Response {
    answer::text(StatusCode::NOT_FOUND, OFF)
}

fn unknown() -> Response {
    answer::text(StatusCode::NOT_FOUND, "there is no snapshot of this id")
}

fn failed(error: &StoreError) -> Response {
    let status = match error {
        StoreError::Unknown { .. } => StatusCode::NOT_FOUND,
        StoreError::Damaged { .. } => StatusCode::GONE,
        StoreError::NotAProfile => StatusCode::BAD_GATEWAY,
        _ => StatusCode::INSUFFICIENT_STORAGE,
    };
    answer::text(status, &error.to_string())
}

/// 201: the id on a line of its own, or the facts for who asked for JSON.
fn created(options: &ServeOptions, id: &SnapshotId, entry: Option<&Entry>, form: Form) -> Response {
    let mut response = match entry.filter(|_| form == Form::Json) {
        Some(entry) => (StatusCode::CREATED, Json(fact(entry))).into_response(),
        None => answer::text(StatusCode::CREATED, id.as_str()),
    };
    let links = Links::new(&options.base, 0);
    if let Ok(location) = HeaderValue::from_str(&links.snapshot(id.as_str())) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn download(entry: &Entry, content: Vec<u8>) -> Response {
    attachment(&entry.target, entry.id.as_str(), Body::from(content))
}

/// A profile of a target, to be saved as a file.
pub(super) fn attachment(target: &str, which: &str, content: Body) -> Response {
    let mut response = content.into_response();
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, kind);
    let disposition = format!("attachment; filename=\"{}\"", file_name(target, which));
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    response
}

/// `goroutine-HOST_PORT-ID.pb.gz`: what a browser saves it as.
fn file_name(target: &str, which: &str) -> String {
    let target = target.split_once("://").map_or(target, |(_, rest)| rest);
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') {
            c
        } else {
            '_'
        }
    };
    let target: String = target.chars().map(plain).take(NAME_CHARS).collect();
    format!("goroutine-{}-{}.pb.gz", target.trim_matches('_'), which)
}

fn fact(entry: &Entry) -> Fact<'_> {
    Fact {
        id: entry.id.as_str(),
        target: &entry.target,
        module: &entry.module,
        taken: humantime::format_rfc3339_millis(entry.taken).to_string(),
        trigger: entry.trigger.as_str(),
        goroutines: entry.goroutines,
        bytes: entry.bytes,
    }
}

/// What a request asks for, by its parameters before its headers.
fn form(headers: &HeaderMap, query: &str) -> Form {
    for (key, value) in pairs(query) {
        match (&*key, &*value) {
            ("raw", "1" | "true") => return Form::Raw,
            ("format", "json") => return Form::Json,
            _ => {}
        }
    }
    let accepted = headers.get_all(ACCEPT).iter();
    let accepted = accepted.filter_map(|accept| accept.to_str().ok());
    let kinds = accepted.flat_map(|accept| accept.split(','));
    for kind in kinds {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        match kind.to_ascii_lowercase().as_str() {
            "application/json" => return Form::Json,
            "application/octet-stream" => return Form::Raw,
            "text/html" => return Form::Page,
            _ => {}
        }
    }
    Form::Any
}

fn pairs(query: &str) -> url::form_urlencoded::Parse<'_> {
    url::form_urlencoded::parse(query.as_bytes())
}
