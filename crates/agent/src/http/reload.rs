//! Decides what a reload over HTTP answers: what changed, what needs a restart, or why nothing changed.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::oneshot;

use super::query::Query;
use super::{App, Fault, Reloaded, json};
use crate::Failure;

/// Asked for over HTTP; answered by the agent's own loop, one after the other.
pub(crate) type ReloadOrder = oneshot::Sender<Result<Reloaded, Failure>>;

pub(super) async fn reload(State(app): State<Arc<App>>, query: Query) -> Result<Response, Fault> {
    let Reloaded { changed, restart } = reloaded(&app).await?;
    json(&json!({ "changed": changed, "needs_restart": restart }), query.pretty())
}

/// As Consul: an empty answer.
pub(super) async fn consul_reload(State(app): State<Arc<App>>) -> Result<Response, Fault> {
    reloaded(&app).await?;
    Ok(StatusCode::OK.into_response())
}

async fn reloaded(app: &App) -> Result<Reloaded, Fault> {
    let (answer, answered) = oneshot::channel();
    let ending = || Fault::new(StatusCode::SERVICE_UNAVAILABLE, "the agent is ending");
    app.reloads.send(answer).await.map_err(|_| ending())?;
    answered.await.map_err(|_| ending())?.map_err(|failure| match failure {
        Failure::Misuse(text) => Fault::bad(format!("nothing changed: {text}")),
        Failure::Failed(text) => {
            let text = format!("nothing changed: {text}");
            Fault::new(StatusCode::SERVICE_UNAVAILABLE, text)
        }
        Failure::PipeClosed => ending(),
    })
}
