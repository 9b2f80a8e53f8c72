//! What a comparison has found, by entity.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

use super::independent::{self, Opinion};
use crate::{
    cli::{Failure, paint::Paint, screen::count},
    error::{Error, Result},
    postgres::{
        Pool,
        verify::report::{self, Finding, PastRun},
    },
    sync::ports::Counts,
};

/// What `--json` prints.
#[derive(Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    run: PastRun,
    entities: BTreeMap<String, Counts>,
    /// The first of each entity.
    findings: Vec<Finding>,
    /// What both servers count, whatever the mappings say.
    pub(super) independent: Vec<Opinion>,
}

impl Report {
    pub(super) async fn load(pool: &Pool, run: i64, limit: i64) -> Result<Self> {
        let gone = || Error::halt(format!("there is no comparison with the number {run}"));
        let past = report::run(pool, Some(run)).await?.ok_or_else(gone)?;
        let mut entities: BTreeMap<String, Counts> = BTreeMap::new();
        for part in report::progress(pool, run).await? {
            let (all, one) = (entities.entry(part.entity).or_default(), part.counts);
            all.compared += one.compared;
            all.equal += one.equal;
            all.differing += one.differing;
            all.repaired += one.repaired;
            all.unsettled += one.unsettled;
            all.parked += one.parked;
            all.paused += one.paused;
        }
        let findings = report::findings(pool, run, limit).await?;
        Ok(Self { run: past, entities, findings, independent: Vec::new() })
    }

    /// Whether it was not about one person.
    pub(super) const fn is_of_everybody(&self) -> bool {
        self.run.asked.person.is_none()
    }

    /// The entities that it was about; none means all.
    pub(super) fn entities_asked(&self) -> &[String] {
        &self.run.asked.entities
    }

    fn total(&self, of: impl Fn(&Counts) -> i64) -> i64 {
        self.entities.values().map(of).sum()
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let paint = Paint::stdout();
        let mut text = String::new();
        for (entity, counts) in &self.entities {
            text.push_str(&format!("{}: {}\n", paint.bold(entity), line(*counts)));
            for finding in self.findings.iter().filter(|finding| finding.entity == *entity) {
                text.push_str(&format!("  {}\n", self.finding(finding)));
            }
            let shown = |state: &str| {
                let mine = |one: &&Finding| one.entity == *entity && one.state == state;
                i64::try_from(self.findings.iter().filter(mine).count()).unwrap_or(i64::MAX)
            };
            let more = counts.differing - shown("differs");
            if more > 0 {
                text.push_str(&format!("  … and {more} more that differ (--limit N shows more)\n"));
            }
        }
        if let Some(why) = self.run.outcome.as_deref().filter(|outcome| *outcome != "complete") {
            text.push_str(&format!("{}\n", paint.bad(why)));
        }
        text.push_str(&format!("{}\n", self.summary(paint)));
        if !self.independent.is_empty() {
            text.push_str(&independent::text(&self.independent));
        }
        text
    }

    fn summary(&self, paint: Paint) -> String {
        let (differing, unsettled) = (self.total(|one| one.differing), self.total(|one| one.unsettled));
        let share = self.run.asked.percent.map(|percent| format!(" in a sample of {percent} %")).unwrap_or_default();
        let unsettled = if unsettled > 0 {
            format!("; {unsettled} were changed all the time and are not known to be equal: verify them again")
        } else {
            String::new()
        };
        match differing {
            0 => paint.good(&format!("no differences{share}")) + &unsettled,
            many => paint.bad(&format!("{many} differ{share}")) + &unsettled,
        }
    }

    fn finding(&self, finding: &Finding) -> String {
        let ids = [
            finding.legacy_id.as_ref().map(|id| format!("legacy:{id}")),
            finding.renaissance_id.map(|id| format!("renaissance:{id}")),
        ];
        let ids: Vec<String> = ids.into_iter().flatten().collect();
        let moved = finding.moved.as_deref().map(|side| format!(", moved: {side}")).unwrap_or_default();
        let what = match finding.what.as_str() {
            "fields" => fields(&finding.fields),
            "missing_in_legacy" => format!("missing in legacy{moved}"),
            "missing_in_renaissance" => format!("missing in renaissance{moved}"),
            "not_linked" => "equal, but not linked".to_owned(),
            "not_named" => "its row does not carry its legacy id".to_owned(),
            "gone" => "gone on both sides, but still linked".to_owned(),
            _ => "not seen whole".to_owned(),
        };
        let repair = if self.run.asked.dry_run && finding.state == "differs" {
            let to = if finding.writes.is_empty() { "only the state".to_owned() } else { finding.writes.join(" and ") };
            format!("; --repair would write {to}")
        } else {
            String::new()
        };
        format!("{:<9} {}  {what}{repair}", finding.state, ids.join(" "))
    }

    /// Whether differences are left, or it did not come to its end.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        if self.run.outcome.as_deref() != Some("complete") {
            return Err(Error::halt("the comparison did not come to its end").into());
        }
        match self.total(|one| one.differing) {
            0 => Ok(()),
            _ if self.run.asked.repair && !self.run.asked.dry_run => Err(Failure::No(Box::new(
                Error::halt("differences are left after the repair")
                    .with_hint("biograph-bridge status says what fails; then verify --repair again"),
            ))),
            _ => Err(Failure::No(Box::new(
                Error::halt("both sides differ").with_hint("biograph-bridge verify --repair (first with --dry-run)"),
            ))),
        }
    }
}

fn line(counts: Counts) -> String {
    let known = |number: i64| count(u64::try_from(number).unwrap_or(0));
    let mut line = format!("{} compared, {} equal", known(counts.compared), known(counts.equal));
    let others = [
        (counts.differing, "differ"),
        (counts.repaired, "repaired"),
        (counts.unsettled, "unsettled"),
        (counts.parked, "parked"),
        (counts.paused, "paused"),
    ];
    for (number, word) in others.into_iter().filter(|(number, _)| *number > 0) {
        line.push_str(&format!(", {} {word}", known(number)));
    }
    line
}

/// `name (legacy moved), email (both moved)`.
fn fields(fields: &Json) -> String {
    let word = |field: &Json, key: &str| field.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    let one = |field: &Json| match word(field, "moved").as_str() {
        "no base" => format!("{} (never agreed)", word(field, "field")),
        moved => format!("{} ({moved} moved)", word(field, "field")),
    };
    fields.as_array().into_iter().flatten().map(one).collect::<Vec<_>>().join(", ")
}
