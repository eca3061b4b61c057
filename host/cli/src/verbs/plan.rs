//! `tidepool plan`: what the policies would do now, as a diff. Nothing is written.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Args;
use console::Style;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
    core::GroupVersionKind,
};
use serde_json::{Value, json};
use similar::TextDiff;
use tidepool_api::{
    cluster::{API_VERSION, KIND},
    labels::{LAST_APPLIED_CONFIG, LAST_APPLIED_POD_TEMPLATE},
};
use tidepool_operator::{Change, Config, Deciders, Executor, Preview, Settings};
use tidepool_policy::Registry;
use tidepool_sim::clock::Clock;

use crate::{
    args::{Format, OutputArgs, PolicyDirArgs},
    documents, follow, input, output, policies, runtime,
    target::{self, Target, TargetArgs},
};

/// Characters of a digest that are shown: `sha256:` and twelve digits.
const DIGEST_CHARS: usize = 19;

/// Longest line of a diff.
const LINE_CHARS_MAX: usize = 160;

const EXAMPLES: &str = "\
Examples:
  tidepool plan -f my.yaml              the first round for a cluster that does not exist yet
  tidepool plan -f my.yaml --live       against the cluster that runs, found as kubectl finds it
  tidepool plan -f my.yaml --kubeconfig K -o json
  tidepool plan -f my.yaml --live --policy-dir next   what would the next policies do to it?";

/// Arguments of `tidepool plan`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct PlanArgs {
    /// TidbClusters as they would be (YAML, `-` for standard input)
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Plan against the cluster that runs, found as kubectl finds it, instead of from nothing
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    policies: PolicyDirArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Prints the first round over each TidbCluster.
pub fn run(args: PlanArgs) -> anyhow::Result<ExitCode> {
    let documents = match input::read_for(&args.files, args.output.format == Format::Json)? {
        Ok(documents) => documents,
        Err(code) => return Ok(code),
    };
    documents::some_cluster(&documents)?;
    let registry = policies::load(&args.policies)?;
    let live = args.live || args.target.kubeconfig.is_some() || args.target.context.is_some();
    runtime::real()?.block_on(async {
        let target = if live { Some(target::connect(&args.target, "tidepool-plan").await?) } else { None };
        let mut previews = Vec::new();
        for mut cluster in documents::cluster_objects(&documents) {
            cluster["metadata"]["namespace"] = documents::namespace_of(&cluster).into();
            let name = format!("{}/{}", documents::namespace_of(&cluster), text(&cluster, "name"));
            let preview = match &target {
                Some(target) => against(target, registry.clone(), cluster).await,
                None => from_nothing(registry.clone(), cluster).await,
            };
            previews.push((preview.with_context(|| format!("failed to plan for TidbCluster {name}"))?, name));
        }
        match args.output.format {
            Format::Json => output::json(&json!({"clusters": previews.iter().map(as_json).collect::<Vec<_>>()}))?,
            Format::Human => {
                let texts = previews.iter().map(as_text).collect::<anyhow::Result<Vec<_>>>()?;
                output::text(texts.join("\n\n"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn from_nothing(registry: Arc<Registry>, cluster: Value) -> anyhow::Result<Preview> {
    let clock = Clock::system();
    let deciders = Deciders {
        policies: registry,
        settings: Settings::default(),
        executor: Executor::pool(1),
        now_ms: Arc::new(move || clock.now_ms()),
    };
    Ok(tidepool_operator::plan_from_nothing(deciders, cluster).await?)
}

/// The spec is the file's; identity and status are those of the cluster that runs, if it does.
async fn against(target: &Target, registry: Arc<Registry>, cluster: Value) -> anyhow::Result<Preview> {
    let cluster = over_the_running_one(&target.client, cluster).await?;
    let clock = Clock::system();
    let config = Config::new(target.client.clone(), registry, target.http.clone(), Arc::new(move || clock.now_ms()));
    Ok(tidepool_operator::plan(&config, cluster).await?)
}

async fn over_the_running_one(client: &Client, mut cluster: Value) -> anyhow::Result<Value> {
    let (group, version) = API_VERSION.split_once('/').unwrap_or(("", API_VERSION));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, KIND));
    let namespace = documents::namespace_of(&cluster);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
    let running = api.get_opt(&text(&cluster, "name")).await.context("failed to read the TidbCluster that runs")?;
    if let Some(running) = running {
        let running = serde_json::to_value(running)?;
        for key in ["uid", "resourceVersion", "generation", "creationTimestamp"] {
            cluster["metadata"][key] = running["metadata"][key].clone();
        }
        cluster["status"] = running["status"].clone();
    }
    Ok(cluster)
}

fn as_json((preview, name): &(Preview, String)) -> Value {
    let change = |c: &Change| json!({"verb": c.verb, "subject": c.subject, "before": c.before, "after": c.after});
    let components = preview.components.iter().map(|component| {
        json!({
            "component": component.component, "policy": component.policy, "held": component.held,
            "changes": component.changes.iter().map(change).collect::<Vec<_>>(), "waiting": component.waiting,
        })
    });
    json!({"cluster": name, "components": components.collect::<Vec<_>>(), "status": preview.status})
}

fn as_text((preview, name): &(Preview, String)) -> anyhow::Result<String> {
    let (bold, faint) = (Style::new().bold(), Style::new().dim());
    let mut lines = vec![bold.apply_to(format!("TidbCluster {name}")).to_string()];
    let mut writes = 0;
    for component in &preview.components {
        let title = bold.apply_to(format!("# {}", component.component));
        lines.push(format!("\n{title} {}", faint.apply_to(format!("by policy {}", short(&component.policy)))));
        if !component.held && component.changes.is_empty() && component.waiting.is_empty() {
            lines.push("  nothing to do".into());
        }
        if component.held {
            lines.push("  held back by an earlier component in this round".into());
        }
        for change in &component.changes {
            lines.push(format!("  {}", bold.apply_to(format!("{} {}", change.verb, change.subject))));
            lines.push(diff(change)?);
        }
        lines.extend(component.waiting.iter().map(|on| format!("  {}", follow::waiting(on))));
        writes += component.changes.len();
    }
    lines.push(match writes {
        0 => "\nnothing would be written in this round".to_owned(),
        1 => "\n1 change in this round".to_owned(),
        _ => format!("\n{writes} changes in this round"),
    });
    Ok(lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n"))
}

fn diff(change: &Change) -> anyhow::Result<String> {
    let (before, after) = (yaml(change.before.as_ref())?, yaml(change.after.as_ref())?);
    let diff = TextDiff::from_lines(&before, &after).unified_diff().context_radius(2).to_string();
    if diff.is_empty() {
        return Ok("    only notes of what was applied last".to_owned());
    }
    Ok(diff.lines().map(|line| format!("    {}", coloured(&cut(line)))).collect::<Vec<_>>().join("\n"))
}

/// As other tools colour a diff; without colours where there is no terminal.
fn coloured(line: &str) -> String {
    let style = match line.as_bytes().first() {
        Some(b'+') => Style::new().green(),
        Some(b'-') => Style::new().red(),
        Some(b'@') => Style::new().cyan(),
        _ => return line.to_owned(),
    };
    style.apply_to(line).to_string()
}

/// The first digits of a digest tell it from others.
fn short(digest: &str) -> &str {
    digest.get(..DIGEST_CHARS).unwrap_or(digest)
}

/// An object without what the API server counts and notes by itself, and without whole objects in annotations: what
/// differs in them is shown anyway.
fn yaml(object: Option<&Value>) -> anyhow::Result<String> {
    let Some(mut object) = object.cloned() else { return Ok(String::new()) };
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|key, _| !["managedFields", "resourceVersion", "generation"].contains(&key.as_str()));
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|key, _| ![LAST_APPLIED_CONFIG, LAST_APPLIED_POD_TEMPLATE].contains(&key.as_str()));
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    Ok(serde_saphyr::to_string(&object)?)
}

/// Some values are whole files in one line.
fn cut(line: &str) -> String {
    match line.char_indices().nth(LINE_CHARS_MAX) {
        Some((end, _)) => format!("{}… ({} characters)", &line[..end], line.chars().count()),
        None => line.to_owned(),
    }
}

fn text(object: &Value, key: &str) -> String {
    object["metadata"][key].as_str().unwrap_or_default().to_owned()
}
