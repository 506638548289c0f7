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
use serde_json::value::RawValue;
use switchboard_event::machine::campaign::{
    Campaign, CampaignRefused, Order, Phase, RECIPIENTS_MAX,
};
use switchboard_event::machine::message::Progress;
use switchboard_event::payload::{CampaignStats, MessageStatus};
use switchboard_event::{Id, Maker, MessageKey, TenantId, Timestamp};
use tracing::{debug, warn};

use crate::events::{malformed, require_json};
use crate::form::{AN_ID, Form, invalid, missing};
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
    let (tenant, wish) = Wish::read(verb, text, producer)?;
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
    fn read(verb: Verb, text: &[u8], producer: &Producer) -> Result<(TenantId, Self), Problem> {
        // Results may come bare, of a key that is of one tenant.
        let is_bare = matches!(verb, Verb::Results) && text.first() == Some(&b'[');
        let mut form = Form::parse(if is_bare { b"" } else { text })?;
        let tenant = form.tenant(producer)?;
        let mut details = Details::default();
        let order = match verb {
            Verb::Start => {
                let total = form.need("totalRecipients", A_COUNT)?;
                if total > RECIPIENTS_MAX {
                    let reason = format!("a campaign has at most {RECIPIENTS_MAX} recipients");
                    return Err(invalid("totalRecipients", &reason));
                }
                details.name = form.take("name", "text")?;
                details.total = Some(total);
                Order::Start { total }
            }
            Verb::Fail => {
                let error: Option<String> = form.take("error", "text")?;
                details.error = Some(error.unwrap_or_else(|| FAILED.to_owned()));
                Order::Fail
            }
            Verb::Pause => Order::Pause,
            Verb::Resume => Order::Resume,
            Verb::Complete => Order::Complete,
            Verb::Results => {
                let rows: Rows<'_> = if is_bare {
                    serde_json::from_slice(text).map_err(|error| malformed(&error))?
                } else {
                    form.need("results", "an array of results")?
                };
                form.finish()?;
                return Ok((tenant, Self::Count(rows.read()?)));
            }
        };
        form.finish()?;
        Ok((tenant, Self::Order(order, details)))
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

/// One result. What else a row holds is its producer's own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    #[serde(borrow)]
    message_id: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
}

/// No more rows than may be taken.
struct Rows<'a> {
    rows: Vec<&'a RawValue>,
    is_more: bool,
}

impl Rows<'_> {
    fn read(self) -> Result<Vec<(MessageKey, Progress)>, Problem> {
        if self.is_more {
            return Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_many_results",
                format!("a request has at most {RESULTS_MAX} results"),
            ));
        }
        let rows = self.rows.into_iter().enumerate();
        rows.map(|(index, raw)| Row::read(index, raw)).collect()
    }
}

impl Row<'_> {
    fn read(index: usize, raw: &RawValue) -> Result<(MessageKey, Progress), Problem> {
        let Ok(Row { message_id, status }) = serde_json::from_str(raw.get()) else {
            let reason = "it must be an object with `messageId` and `status`, each once";
            return Err(invalid(&format!("results[{index}]"), reason));
        };
        let field = |name| format!("results[{index}].{name}");
        let message = message_id.ok_or_else(|| missing(&field("messageId")))?;
        let message: Result<Id, _> = serde_json::from_str(message.get());
        let message =
            message.map_err(|_| invalid(&field("messageId"), &format!("it must be {AN_ID}")))?;
        let status = status.ok_or_else(|| missing(&field("status")))?;
        let status: Result<String, _> = serde_json::from_str(status.get());
        let status = status.map_err(|_| invalid(&field("status"), "it must be text"))?;
        let progress = Progress::of(&MessageStatus::from(status)).ok_or_else(|| {
            let detail = "a status is Queued, Sent, Delivered, Read or Failed";
            unprocessable("unknown_value", detail).with_field(Some(field("status")))
        })?;
        Ok((MessageKey::new(&message), progress))
    }
}

impl<'de> Deserialize<'de> for Rows<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RowsVisitor)
    }
}

struct RowsVisitor;

impl<'de> Visitor<'de> for RowsVisitor {
    type Value = Rows<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of results")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Rows<'de>, A::Error> {
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

fn unprocessable(code: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}

/// 409, with the state that does not allow it.
fn conflict(refused: &CampaignRefused) -> Problem {
    Problem::new(StatusCode::CONFLICT, refused.code(), refused.to_string())
        .with_state(refused.phase())
}

/// What is told of a campaign that failed for no reason that was given.
const FAILED: &str = "The campaign failed";
const A_COUNT: &str = "a whole number";
