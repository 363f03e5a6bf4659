//! The command line of `tidemark-operator`; every flag is an environment variable `TIDEMARK_OPERATOR_…` too.

use std::{collections::BTreeSet, net::SocketAddr};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::{
    aim::{Aim, HostPattern},
    api::Span,
    lease::{Terms, TermsError},
    reconcile::Rules,
};

/// Deploys fleets of store followers and keeps the stale ones out of their Services.
#[derive(Debug, Parser)]
#[command(name = "tidemark-operator", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the StoreReplicaSets of a cluster until SIGTERM.
    Run(Box<Options>),
    /// Print the CustomResourceDefinition of StoreReplicaSet as YAML.
    Crd {
        /// What is made of it.
        #[arg(long, value_enum, default_value_t)]
        form: CrdForm,
    },
    /// Print the reference of StoreReplicaSet as Markdown.
    ApiDocs,
    /// Say whether StoreReplicaSets exist, which lose their operator when it is uninstalled: 0 if none does, 1 if some do,
    /// 2 if that cannot be told.
    InUse(InUse),
    /// Check an installed operator: an instance serves, one leads, and the definition is there.
    Check(Check),
}

/// What is made of the definition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CrdForm {
    /// What is applied.
    #[default]
    Definition,
    /// The template of the chart `tidemark-crds`.
    Template,
    /// The JSON schema of the values of the chart `store-replica-set`.
    ValuesSchema,
}

/// Which StoreReplicaSets depend on the operator.
#[derive(Args, Clone, Debug)]
pub struct InUse {
    /// Look only at this namespace; may be given more than once.
    #[arg(long = "namespace", value_delimiter = ',')]
    pub namespaces: Vec<String>,

    /// The Helm release, for what to do about it.
    #[arg(long, default_value = "tidemark")]
    pub release: String,

    /// The namespace of that release.
    #[arg(long, default_value = "tidemark-system")]
    pub release_namespace: String,
}

/// What is checked.
#[derive(Args, Clone, Debug)]
pub struct Check {
    /// The admin port of the operator's instances, such as `http://tidemark.tidemark-system.svc:8080`.
    #[arg(long, value_name = "URL")]
    pub admin: http::Uri,

    /// The name of the lease by which one leads.
    #[arg(long, default_value = LEASE_NAME)]
    pub lease_name: String,

    /// Its namespace.
    #[arg(long)]
    pub lease_namespace: String,

    /// How long to wait for what is not so yet.
    #[arg(long, default_value = "60s")]
    pub within: Span,
}

/// How to run.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Serve only this namespace; may be given more than once, and in the environment with commas.
    #[arg(long = "namespace", env = "TIDEMARK_OPERATOR_NAMESPACE", value_delimiter = ',')]
    pub namespaces: Vec<String>,

    /// Where to serve /livez, /readyz, /metrics and /fleets.
    #[arg(long, env = "TIDEMARK_OPERATOR_ADMIN_LISTEN", default_value = "0.0.0.0:8080")]
    pub admin_listen: SocketAddr,

    /// How logs are written.
    #[arg(long, env = "TIDEMARK_OPERATOR_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// What is logged, as a tracing filter such as `info,tidemark_operator=debug`.
    #[arg(long, env = "TIDEMARK_OPERATOR_LOG_FILTER", default_value = "info")]
    pub log_filter: String,

    /// Accept primaries at loopback and link-local addresses, which name the operator's own node: for tests only.
    #[arg(long, env = "TIDEMARK_OPERATOR_ALLOW_LOOPBACK_PRIMARIES")]
    pub allow_loopback_primaries: bool,

    /// Hosts that a StoreReplicaSet may name as its primary: a name, *.chain.svc for all names below one (a host without
    /// dots is SERVICE.NAMESPACE.svc), or an address range such as 10.0.0.0/8. May be given more than once, and in the
    /// environment with commas. Without it, all but those of the operator's own node.
    #[arg(
        long = "allowed-primary",
        env = "TIDEMARK_OPERATOR_ALLOWED_PRIMARY",
        value_name = "HOST",
        value_delimiter = ','
    )]
    pub allowed_primaries: Vec<HostPattern>,

    /// The operator's own namespace, which the NetworkPolicies of all fleets let in.
    #[arg(long, env = "TIDEMARK_OPERATOR_POD_NAMESPACE", value_name = "NAME")]
    pub pod_namespace: Option<String>,

    /// How many sets are reconciled at the same time.
    #[arg(long, env = "TIDEMARK_OPERATOR_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,

    /// How many gate writes may be under way at the same time.
    #[arg(long, env = "TIDEMARK_OPERATOR_GATE_WRITES", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub gate_writes: u16,

    /// Lead only while holding a lease, so that instances can stand by. False is for development outside a cluster:
    /// nothing keeps two such instances from writing against each other.
    #[arg(long, env = "TIDEMARK_OPERATOR_LEADER_ELECT", default_value_t = true, action = ArgAction::Set)]
    pub leader_elect: bool,

    /// Who this instance is in the lease: the name of its pod. Default: the host's name, which is the pod's in a pod.
    #[arg(long, env = "TIDEMARK_OPERATOR_IDENTITY")]
    pub identity: Option<String>,

    /// The name of the lease: instances of one name in one namespace are one operator.
    #[arg(long, env = "TIDEMARK_OPERATOR_LEASE_NAME", default_value = LEASE_NAME)]
    pub lease_name: String,

    /// The namespace of the lease. Default: the pod's own (--pod-namespace, or else that of the cluster's access).
    #[arg(long, env = "TIDEMARK_OPERATOR_LEASE_NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// For how long a leader that fell silent is waited for: whole seconds, from 5s to 2m.
    #[arg(long, env = "TIDEMARK_OPERATOR_LEASE_DURATION", default_value = "15s")]
    pub lease_duration: Span,

    /// A leader that could not renew its lease for so long ends: shorter than the duration.
    #[arg(long, env = "TIDEMARK_OPERATOR_LEASE_RENEW_DEADLINE", default_value = "10s")]
    pub lease_renew_deadline: Span,

    /// How often the lease is renewed, and looked at by those who stand by: shorter than the renew deadline.
    #[arg(long, env = "TIDEMARK_OPERATOR_LEASE_RETRY", default_value = "2s")]
    pub lease_retry: Span,
}

/// The lease of an operator that is told no other.
const LEASE_NAME: &str = "tidemark-operator";

impl Options {
    /// What all sets must keep to.
    pub(crate) fn rules(&self) -> Rules {
        let allowed = self.allowed_primaries.clone().into();
        let namespace = self.pod_namespace.clone().filter(|name| !name.is_empty());
        Rules { aim: Aim { allow_loopback: self.allow_loopback_primaries, allowed }, namespace }
    }

    /// The namespace of the lease, if a flag says so.
    pub(crate) fn lease_namespace(&self) -> Option<&str> {
        let named = [&self.lease_namespace, &self.pod_namespace];
        named.into_iter().flatten().map(String::as_str).find(|name| !name.is_empty())
    }

    /// The times of the lease.
    pub(crate) fn terms(&self) -> Result<Terms, TermsError> {
        Terms::new(self.lease_duration, self.lease_renew_deadline, self.lease_retry)
    }

    /// The namespaces to serve, each once; None: all of them.
    pub(crate) fn scopes(&self) -> BTreeSet<Option<String>> {
        scopes(&self.namespaces)
    }
}

/// Each namespace once; None: all of them.
pub(crate) fn scopes(namespaces: &[String]) -> BTreeSet<Option<String>> {
    let named = namespaces.iter().filter(|name| !name.is_empty()).cloned().map(Some);
    let named: BTreeSet<_> = named.collect();
    if named.is_empty() { [None].into() } else { named }
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            log_format: LogFormat::Text,
            log_filter: "info".to_owned(),
            allow_loopback_primaries: false,
            allowed_primaries: Vec::new(),
            pod_namespace: None,
            concurrency: 8,
            gate_writes: 32,
            leader_elect: true,
            identity: None,
            lease_name: LEASE_NAME.to_owned(),
            lease_namespace: None,
            lease_duration: Span::seconds(15),
            lease_renew_deadline: Span::seconds(10),
            lease_retry: Span::seconds(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::{Cli, Command};

    #[test]
    fn a_namespace_named_twice_is_served_once_and_an_empty_name_is_none() {
        let scopes = |names: &[&str]| {
            let namespaces = names.iter().map(ToString::to_string).collect();
            super::Options { namespaces, ..super::Options::default() }.scopes()
        };
        assert_eq!(scopes(&[]), [None].into());
        assert_eq!(scopes(&[""]), [None].into());
        assert_eq!(scopes(&["b", "a", "b"]), [Some("a".to_owned()), Some("b".to_owned())].into());
    }

    #[test]
    fn what_all_sets_must_keep_to_is_said_by_flags() {
        let args = [
            "tidemark-operator",
            "run",
            "--allowed-primary=*.chain.svc,10.0.0.0/8",
            "--pod-namespace=system",
        ];
        let Command::Run(options) = Cli::try_parse_from(args).expect("flags").command else {
            panic!("not run")
        };
        let rules = options.rules();
        assert_eq!(rules.namespace.as_deref(), Some("system"));
        assert_eq!(rules.aim.refusal("http://primary:1", Some("chain")), None);
        assert_eq!(rules.aim.refusal("http://10.1.1.1:1", Some("other")), None);
        let refusal = rules.aim.refusal("http://primary:1", Some("other")).expect("refused");
        assert!(refusal.contains("--allowed-primary"), "{refusal}");
        let bad = Cli::try_parse_from(["tidemark-operator", "run", "--allowed-primary=10.0.0.0/99"]);
        assert!(bad.expect_err("refused").to_string().contains("10.0.0.0/99"));
    }

    #[test]
    fn the_command_line_is_consistent_and_every_flag_has_its_variable() {
        let command = super::Cli::command();
        command.clone().debug_assert();
        let run = command.find_subcommand("run").expect("there is a subcommand run");
        for flag in run.get_arguments().filter(|flag| flag.get_long().is_some_and(|name| name != "help")) {
            let name = flag.get_long().expect("filtered").to_uppercase().replace('-', "_");
            let variable = flag.get_env().and_then(std::ffi::OsStr::to_str).expect("a variable");
            assert_eq!(variable, format!("TIDEMARK_OPERATOR_{name}"));
        }
    }
}
