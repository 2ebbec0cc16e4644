//! Decides what is told of round trips between members: estimates, and coordinates as Consul has them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;
use tidings::{Coordinate, Member, NodeId, View};

use super::query::Query;
use super::{App, Fault, json, millis};

/// `[{Node, Segment, Coord}]` of all members whose place is known, by name; lengths in seconds.
pub(super) async fn nodes(State(app): State<Arc<App>>, query: Query) -> Result<Response, Fault> {
    let known = |view: &View<'_>| {
        let placed = |m: Member| view.coordinate(m.id).map(|place| (m.name, m.id, place));
        view.members().filter_map(placed).collect::<Vec<_>>()
    };
    let mut placed = app.node.query(move |view, _| known(view)).await?;
    placed.sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    let records: Vec<_> = placed
        .iter()
        .map(|(name, _, place)| json!({ "Node": name, "Segment": "", "Coord": coord(place) }))
        .collect();
    json(&records, query.pretty())
}

/// In Consul's form.
pub(super) fn coord(place: &Coordinate) -> serde_json::Value {
    json!({
        "Vec": place.vector.map(|ms| ms / 1e3),
        "Error": place.error,
        "Adjustment": place.adjustment / 1e3,
        "Height": place.height / 1e3,
    })
}

/// Between a member and this node.
pub(super) async fn from_here(
    State(app): State<Arc<App>>,
    Path(a): Path<String>,
    query: Query,
) -> Result<Response, Fault> {
    let me = app.node.query(|view, _| view.me().id).await?;
    between(&app, a, me.to_string(), &query).await
}

/// Between any two members.
pub(super) async fn pair(
    State(app): State<Arc<App>>,
    Path((a, b)): Path<(String, String)>,
    query: Query,
) -> Result<Response, Fault> {
    between(&app, a, b, &query).await
}

async fn between(app: &App, a: String, b: String, query: &Query) -> Result<Response, Fault> {
    let found = app.node.query(move |view, _| estimate(view, &a, &b)).await?;
    json(&found?, query.pretty())
}

fn estimate(view: &View<'_>, a: &str, b: &str) -> Result<serde_json::Value, Fault> {
    let (a, b) = (member(view, a)?, member(view, b)?);
    let place = |m: &Member| {
        let unknown = || {
            let text = format!(
                "member {:?} has not told its coordinate here yet; probes bring it",
                m.name
            );
            Fault::new(StatusCode::SERVICE_UNAVAILABLE, text)
        };
        view.coordinate(m.id).ok_or_else(unknown)
    };
    place(&a)?;
    place(&b)?;
    let known = view.rtt(a.id, b.id);
    let me = view.me().id;
    let measured = [(a.id, b.id), (b.id, a.id)]
        .into_iter()
        .find_map(|(x, y)| view.contact(y).filter(|_| x == me).and_then(|c| c.rtt));
    Ok(json!({
        "from": a.name,
        "to": b.name,
        "estimate_ms": known.map(|rtt| millis(rtt.estimate)),
        "measured_ms": measured.map(millis),
        "error": known.map(|rtt| rtt.error),
    }))
}

fn member(view: &View<'_>, wanted: &str) -> Result<Member, Fault> {
    let by_id = || NodeId::parse(wanted).and_then(|id| view.member_by_id(id));
    let unknown = || Fault::new(StatusCode::NOT_FOUND, format!("no member is named {wanted:?}"));
    view.member(wanted).or_else(by_id).ok_or_else(unknown)
}
