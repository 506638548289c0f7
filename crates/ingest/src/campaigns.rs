//! `/v1/campaigns/{id}`: a campaign is started, halted, ended, and told what came of its messages.

use std::fmt;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::HeaderMap;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use switchboard_event::machine::campaign::{
    Campaign, CampaignRefused, Order, Phase, RECIPIENTS_MAX,
};
use switchboard_event::machine::message::Progress;
use switchboard_event::payload::{CampaignStats, MessageStatus};
use switchboard_event::{Id, Maker, MessageKey, TenantId, Timestamp};
use tracing::{debug, warn};

use crate::events::{malformed, require_json, tenant_of};
use crate::ingest::Ingest;
use crate::outcome::Unavailable;
use crate::problem::Problem;
use crate::producer::Producer;
use crate::publish::{CONFLICTS_MAX, Failure, Plan};
use crate::scope::Scope;
use crate::stage::Details;
use crate::tally::Tally;

/// The most results of one request.
pub(crate) const RESULTS_MAX: usize = 1_000;

/// `POST /v1/campaigns/{id}/{verb}`: answers 200 once it is durable, and never before.
pub(crate) async fn post_campaign(
    State(ingest): State<Ingest>,
    producer: Producer,
    Path((id, verb)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let answer = answer(&ingest, &producer, (&id, &verb), &headers, body).await;
    let status = answer.as_ref().map(|_| StatusCode::ACCEPTED);
    ingest.stats().answer(status);
    match &answer {
        Ok(_) => debug!(producer = producer.name(), "took what came of a campaign"),
        Err(problem) => warn!(
            producer = producer.name(),
            code = problem.code(),
            field = problem.logged_field(),
            "refused a request"
        ),
    }
    Ok(Json(answer?).into_response())
}

async fn answer(
    ingest: &Ingest,
    producer: &Producer,
    (id, verb): (&str, &str),
    headers: &HeaderMap,
    body: Body,
) -> Result<Answer, Problem> {
    producer.require(Scope::Publish)?;
    let verb: Verb = verb.parse().map_err(|()| Problem::not_found())?;
    let id: Id = id.parse().map_err(|invalid| {
        let detail = format!("the id of the campaign: {invalid}");
        unprocessable("invalid_id", detail).with_field(Some("id"))
    })?;
    let body = ingest.bodies().read(headers, body).await?;
    let text = body.bytes.trim_ascii();
    if !text.is_empty() {
        require_json(headers)?;
    }
    let (tenant, wish) = Wish::read(verb, text)?;
    let tenant = tenant_of(producer.reach(), tenant.as_ref().map(Id::as_str));
    let tenant = tenant.map_err(|refusal| Problem::from(&refusal))?;
    if tenant.is_everyone() {
        let detail = "a campaign is of one tenant";
        return Err(unprocessable("invalid_tenant", detail).with_field(Some("tenant")));
    }
    ingest.limits().events(producer, wish.events())?;
    ingest.campaign(&tenant, &id, &wish).await
}

impl Ingest {
    /// Has a campaign follow a wish: reads, decides, and appends, again if somebody else was faster.
    async fn campaign(&self, tenant: &TenantId, id: &Id, wish: &Wish) -> Result<Answer, Problem> {
        let _turn = self.turns().take(tenant, [id]).await;
        for _ in 0..=CONFLICTS_MAX {
            let publication = self.publication(tenant, Maker::Mapping);
            let (now, config) = (publication.now, publication.config);
            let messages: Vec<_> = wish.messages().map(|key| (id.clone(), key)).collect();
            let every = config.campaign_progress_every;
            let campaigns = [id.clone()];
            let read = Tally::read(
                publication.journal,
                tenant,
                &campaigns,
                &messages,
                every,
                now,
            );
            let mut tally = read.await.map_err(|reason| Problem::from(&reason))?;
            let end = now
                .checked_add(config.campaign_retention)
                .unwrap_or(Timestamp::MAX);
            let counted = wish.apply(&mut tally, id, end)?;
            let answer = Answer::of(id, tally.campaign(id), counted);
            let mut plan = Plan::default();
            publication
                .stage(tally.finish(now), wish.details(), &mut plan)
                .map_err(|reason| Problem::from(&reason))?;
            publication.show(&mut plan);
            if plan.is_empty() {
                return Ok(answer);
            }
            match publication.append(plan).await {
                Ok(_) => return Ok(answer),
                Err(Failure::Conflict) => {}
                Err(Failure::Unavailable(reason)) => return Err(Problem::from(&reason)),
                // A thousand results are far below the limits of a batch, and our ids are fresh.
                Err(Failure::TooLong | Failure::IdReused { .. }) => {
                    return Err(Problem::from(&Unavailable::Failing));
                }
            }
        }
        Err(Problem::from(&Unavailable::Overloaded))
    }

    /// Tells what had to wait of a campaign.
    pub(crate) async fn revisit_campaign(&self, tenant: &TenantId, id: &Id) -> Result<(), Problem> {
        self.campaign(tenant, id, &Wish::Revisit).await.map(|_| ())
    }
}

/// The last part of the path.
#[derive(Clone, Copy)]
enum Verb {
    Start,
    Pause,
    Resume,
    Fail,
    Complete,
    Results,
}

impl std::str::FromStr for Verb {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "start" => Self::Start,
            "pause" => Self::Pause,
            "resume" => Self::Resume,
            "fail" => Self::Fail,
            "complete" => Self::Complete,
            "results" => Self::Results,
            _ => return Err(()),
        })
    }
}

/// What a request wants of a campaign.
enum Wish {
    Order(Order, Details),
    Count(Vec<(MessageKey, Progress)>),
    /// To tell what had to wait.
    Revisit,
}

/// What a request counted.
#[derive(Default, Serialize)]
struct Counted {
    /// Results that were news.
    counted: usize,
    /// Results that were counted before, or are overtaken.
    known: usize,
}

impl Wish {
    /// Reads a body, and for which tenant it is.
    fn read(verb: Verb, text: &[u8]) -> Result<(Option<Id>, Self), Problem> {
        let text = if text.is_empty() { b"{}" } else { text };
        let simple = |order: Order| {
            let Simple { tenant } = parse(text)?;
            Ok((tenant, Self::Order(order, Details::default())))
        };
        match verb {
            Verb::Start => Start::read(text),
            Verb::Fail => {
                let Fail { error, tenant } = parse(text)?;
                let details = Details {
                    error,
                    ..Details::default()
                };
                Ok((tenant, Self::Order(Order::Fail, details)))
            }
            Verb::Pause => simple(Order::Pause),
            Verb::Resume => simple(Order::Resume),
            Verb::Complete => simple(Order::Complete),
            Verb::Results => {
                let Results { results, tenant } = if text.first() == Some(&b'[') {
                    Results {
                        results: parse(text)?,
                        tenant: None,
                    }
                } else {
                    parse(text)?
                };
                Ok((tenant, Self::Count(results.read()?)))
            }
        }
    }

    fn messages(&self) -> impl Iterator<Item = MessageKey> {
        let results: &[_] = match self {
            Self::Count(results) => results,
            Self::Order(..) | Self::Revisit => &[],
        };
        results.iter().map(|(message, _)| message.clone())
    }

    /// How many events it counts as, for the limits of its API key.
    fn events(&self) -> usize {
        match self {
            Self::Count(results) => results.len(),
            Self::Order(..) | Self::Revisit => 1,
        }
    }

    fn details(&self) -> &Details {
        const NONE: &Details = &Details {
            name: None,
            total: None,
            error: None,
        };
        match self {
            Self::Order(_, details) => details,
            Self::Count(_) | Self::Revisit => NONE,
        }
    }

    /// Has a tally do it: all of it, or the reason why not.
    fn apply(&self, tally: &mut Tally, id: &Id, end: Timestamp) -> Result<Counted, Problem> {
        let mut counted = Counted::default();
        match self {
            Self::Order(order, _) => tally
                .order(id, order, end)
                .map_err(|refused| conflict(&refused))?,
            Self::Count(results) => {
                let Some(before) = tally.campaign(id).cloned() else {
                    return Err(conflict(&CampaignRefused::Unknown));
                };
                for (index, (message, progress)) in results.iter().enumerate() {
                    let news = tally.count(id, message, *progress).map_err(|refused| {
                        conflict(&before.refuse_more(refused))
                            .with_field(Some(format!("results[{index}]")))
                    })?;
                    counted.counted += usize::from(news);
                    counted.known += usize::from(!news);
                }
            }
            Self::Revisit => tally.revisit(id),
        }
        Ok(counted)
    }
}

impl Plan {
    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.changes.is_empty()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Start {
    total_recipients: u64,
    name: Option<String>,
    tenant: Option<Id>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fail {
    error: Option<String>,
    tenant: Option<Id>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Simple {
    tenant: Option<Id>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Results {
    results: Rows,
    tenant: Option<Id>,
}

/// One result. What else a row holds is its producer's own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    message_id: Id,
    status: String,
}

/// No more rows than may be taken.
struct Rows {
    rows: Vec<Row>,
    is_more: bool,
}

impl Start {
    fn read(text: &[u8]) -> Result<(Option<Id>, Wish), Problem> {
        let Self {
            total_recipients: total,
            name,
            tenant,
        } = parse(text)?;
        if total > RECIPIENTS_MAX {
            let detail = format!("a campaign has at most {RECIPIENTS_MAX} recipients");
            let problem = unprocessable("invalid_field", detail);
            return Err(problem.with_field(Some("totalRecipients")));
        }
        let details = Details {
            name,
            total: Some(total),
            error: None,
        };
        Ok((tenant, Wish::Order(Order::Start { total }, details)))
    }
}

impl Rows {
    fn read(self) -> Result<Vec<(MessageKey, Progress)>, Problem> {
        if self.is_more {
            return Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_many_results",
                format!("a request has at most {RESULTS_MAX} results"),
            ));
        }
        let read = |(index, row): (usize, Row)| {
            let progress = Progress::of(&MessageStatus::from(row.status)).ok_or_else(|| {
                let detail = "a status is Queued, Sent, Delivered, Read or Failed";
                let field = format!("results[{index}].status");
                unprocessable("unknown_value", detail).with_field(Some(field))
            })?;
            Ok((MessageKey::new(&row.message_id), progress))
        };
        self.rows.into_iter().enumerate().map(read).collect()
    }
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RowsVisitor)
    }
}

struct RowsVisitor;

impl<'de> Visitor<'de> for RowsVisitor {
    type Value = Rows;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of results")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Rows, A::Error> {
        let mut rows = Vec::new();
        while rows.len() < RESULTS_MAX {
            match elements.next_element()? {
                Some(row) => rows.push(row),
                None => {
                    return Ok(Rows {
                        rows,
                        is_more: false,
                    });
                }
            }
        }
        let mut is_more = false;
        while elements.next_element::<IgnoredAny>()?.is_some() {
            is_more = true;
        }
        Ok(Rows { rows, is_more })
    }
}

/// The answer to every request: how the campaign stands.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    campaign_id: Id,
    state: &'static str,
    stats: Option<CampaignStats>,
    #[serde(flatten)]
    counted: Counted,
}

impl Answer {
    fn of(id: &Id, campaign: Option<&Campaign>, counted: Counted) -> Self {
        Self {
            campaign_id: id.clone(),
            state: Phase::word(campaign.map(Campaign::phase)),
            stats: campaign.map(Campaign::stats),
            counted,
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(text).map_err(|error| {
        if error.is_data() {
            unprocessable(
                "invalid_field",
                format!("the body is not as expected: {error}"),
            )
        } else {
            malformed(&error)
        }
    })
}

fn unprocessable(code: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}

/// 409, with the state that does not allow it.
fn conflict(refused: &CampaignRefused) -> Problem {
    Problem::new(StatusCode::CONFLICT, refused.code(), refused.to_string())
        .with_state(refused.phase())
}
