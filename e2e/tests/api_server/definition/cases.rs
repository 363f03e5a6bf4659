//! What the definition refuses, and what it lets pass.

use serde_json::{Value, json};

/// Changes of the smallest spec that are refused, and how the message begins that says so.
pub(super) fn refused() -> Vec<(Value, &'static str)> {
    vec![
        (json!({ "replicas": -1 }), "spec.replicas in body should be greater than or equal to 0"),
        (json!({ "replicas": 101 }), "spec.replicas in body should be less than or equal to 100"),
        (json!({ "replicas": "three" }), "spec.replicas in body must be of type integer"),
        (json!({ "primary": null }), "spec.primary"),
        (json!({ "primary": { "url": "ftp://primary:1" } }), "spec.primary.url must be http://HOST:PORT"),
        (json!({ "primary": { "url": "http://primary" } }), "spec.primary.url must be http://HOST:PORT"),
        (
            json!({ "primary": { "url": "http://user@primary:1" } }),
            "spec.primary.url must be http://HOST:PORT",
        ),
        (
            json!({ "primary": { "fallbackUrls": ["ftp://x:1"] } }),
            "spec.primary.fallbackUrls must each be http://HOST:PORT",
        ),
        (
            json!({ "primary": { "fallbackUrls": ["http://primary:57291"] } }),
            "must not repeat spec.primary.url",
        ),
        (json!({ "primary": { "observe": "yes" } }), "spec.primary.observe in body must be of type boolean"),
        (json!({ "primary": { "genesis": "0x12" } }), "spec.primary.genesis must be 0x and 64"),
        (json!({ "follower": null }), "spec.follower"),
        (json!({ "follower": { "image": "" } }), "spec.follower.image must name a container image"),
        (
            json!({ "follower": { "imagePullPolicy": "Sometimes" } }),
            "spec.follower.imagePullPolicy: Unsupported value",
        ),
        (
            json!({ "follower": { "imagePullSecrets": "one" } }),
            "spec.follower.imagePullSecrets in body must be of type array",
        ),
        (
            json!({ "follower": { "port": 80 } }),
            "spec.follower.port in body should be greater than or equal to 1024",
        ),
        (json!({ "follower": { "port": 57292 } }), "spec.follower.port must not be 57292"),
        (json!({ "follower": { "sync": "push" } }), "spec.follower.sync: Unsupported value"),
        (json!({ "follower": { "format": "json" } }), "spec.follower.format: Unsupported value"),
        (
            json!({ "follower": { "args": ["--listen=0.0.0.0:1"] } }),
            "spec.follower.args must not repeat what the operator sets",
        ),
        (
            json!({ "follower": { "args": ["--upstream"] } }),
            "spec.follower.args must not repeat what the operator sets",
        ),
        (json!({ "follower": { "env": [{ "value": "x" }] } }), "spec.follower.env[0].name"),
        (
            json!({ "follower": { "resources": { "limits": { "cpu": [] } } } }),
            "spec.follower.resources.limits.cpu",
        ),
        (json!({ "storage": {} }), "spec.storage needs exactly one of size"),
        (json!({ "storage": { "size": "1Gi", "emptyDir": {} } }), "spec.storage needs exactly one of size"),
        (json!({ "storage": { "size": "big" } }), "spec.storage.size must be a quantity above 0"),
        (json!({ "storage": { "size": "0" } }), "spec.storage.size must be a quantity above 0"),
        (
            json!({ "storage": { "emptyDir": {}, "storageClassName": "fast" } }),
            "spec.storage.storageClassName has no effect",
        ),
        (
            json!({ "storage": { "size": "1Gi", "storageClassName": "No Such" } }),
            "spec.storage.storageClassName must be the name",
        ),
        (
            json!({ "storage": { "size": "1Gi", "retention": "Maybe" } }),
            "spec.storage.retention: Unsupported value",
        ),
        (
            json!({ "storage": { "emptyDir": { "sizeLimit": "-1" } } }),
            "spec.storage.emptyDir.sizeLimit must be a quantity above 0",
        ),
        (
            json!({ "health": { "maxLagBlocks": -1 } }),
            "spec.health.maxLagBlocks in body should be greater than or equal to 0",
        ),
        (json!({ "health": { "readmitLagBlocks": 3 } }), "spec.health.readmitLagBlocks must be at most"),
        (
            json!({ "health": { "readmitAfter": 0 } }),
            "spec.health.readmitAfter in body should be greater than or equal to 1",
        ),
        (json!({ "health": { "hardMaxLagBlocks": 2 } }), "spec.health.hardMaxLagBlocks must be greater than"),
        (
            json!({ "health": { "minServing": 101 } }),
            "spec.health.minServing in body should be less than or equal to 100",
        ),
        (json!({ "health": { "pollInterval": "soon" } }), "spec.health.pollInterval must be a span of time"),
        (json!({ "health": { "pollInterval": "99ms" } }), "spec.health.pollInterval must be a span of time"),
        (json!({ "health": { "staleAfter": "1500ms" } }), "spec.health.staleAfter must be at least twice"),
        (json!({ "health": { "staleAfter": "1d" } }), "spec.health.staleAfter must be a span of time"),
        (json!({ "health": { "stallAfter": "25h" } }), "spec.health.stallAfter must be a span of time"),
        (json!({ "health": { "stallAfter": "1s" } }), "spec.health.stallAfter must be longer than"),
        (json!({ "health": { "forgetAfter": "4s" } }), "spec.health.forgetAfter must be at least"),
        (json!({ "health": { "forgetAfter": "" } }), "spec.health.forgetAfter must be a span of time"),
        (json!({ "health": { "mode": "Watch" } }), "spec.health.mode: Unsupported value"),
        (json!({ "service": { "type": "ExternalName" } }), "spec.service.type: Unsupported value"),
        (
            json!({ "service": { "annotations": { "a": 1 } } }),
            "spec.service.annotations.a in body must be of type string",
        ),
        (json!({ "fenced": ["other-0"] }), "spec.fenced must name pods of this set"),
        (json!({ "fenced": ["good-name-x"] }), "spec.fenced must name pods of this set"),
        (
            json!({ "podTemplate": { "metadata": { "labels": { "app.kubernetes.io/instance": "x" } } } }),
            "spec.podTemplate.metadata.labels must not set",
        ),
        (
            json!({ "podTemplate": { "metadata": { "annotations": 1 } } }),
            "spec.podTemplate.metadata.annotations in body must be of type object",
        ),
        (json!({ "unheardOf": 1 }), "unknown field \"spec.unheardOf\""),
        (
            json!({ "primary": { "tls": { "caSecret": "roots" } } }),
            "spec.primary.tls has no effect on http:// URLs",
        ),
        (
            json!({ "primary": { "url": "https://p:1", "tls": {} } }),
            "spec.primary.tls needs caSecret, clientSecret or serverName",
        ),
        (
            json!({ "primary": { "url": "https://p:1", "tls": { "caSecret": "No Such" } } }),
            "spec.primary.tls.caSecret must be the name of a Secret",
        ),
        (
            json!({ "primary": { "url": "https://p:1", "tls": { "clientSecret": "-" } } }),
            "spec.primary.tls.clientSecret must be the name of a Secret",
        ),
        (
            json!({ "primary": { "url": "https://p:1", "tls": { "serverName": "a b" } } }),
            "spec.primary.tls.serverName must be a DNS name",
        ),
        (
            json!({ "follower": { "args": ["--tls-key=/k"] } }),
            "spec.follower.args must not repeat what the operator sets",
        ),
        (
            json!({ "follower": { "tls": { "caSecret": "roots" } } }),
            "spec.follower.tls needs certSecret, which followers show to readers",
        ),
        (
            json!({ "follower": { "tls": { "certSecret": "cert", "clientCaSecret": "readers" } } }),
            "spec.follower.tls.clientCaSecret needs clientSecret",
        ),
        (
            json!({ "follower": { "protocol": "rpc-status", "tls": { "certSecret": "cert", "caSecret": "roots" } } }),
            "spec.follower.tls.certSecret and clientCaSecret have no effect with spec.follower.protocol rpc-status",
        ),
        (
            json!({ "follower": { "protocol": "rpc-status", "tls": { "serverName": "p" } } }),
            "spec.follower.tls.caSecret is needed with spec.follower.protocol rpc-status",
        ),
        (
            json!({ "follower": { "tls": { "certSecret": "No Such" } } }),
            "spec.follower.tls.certSecret must be the name of a Secret",
        ),
        (
            json!({ "follower": { "tls": { "certSecret": "a", "clientCaSecret": "-", "clientSecret": "b" } } }),
            "spec.follower.tls.clientCaSecret must be the name of a Secret",
        ),
        (
            json!({ "follower": { "tls": { "certSecret": "a", "caSecret": "A" } } }),
            "spec.follower.tls.caSecret must be the name of a Secret",
        ),
        (
            json!({ "follower": { "tls": { "certSecret": "a", "clientSecret": "" } } }),
            "spec.follower.tls.clientSecret must be the name of a Secret",
        ),
        (
            json!({ "follower": { "tls": { "certSecret": "a", "serverName": "a b" } } }),
            "spec.follower.tls.serverName must be a DNS name",
        ),
        (
            json!({ "follower": { "protocol": "rpc-status", "sync": "poll" } }),
            "spec.follower.sync has no meaning with spec.follower.protocol rpc-status",
        ),
        (
            json!({ "follower": { "protocol": "rpc-status", "format": "native" } }),
            "spec.follower.format has no meaning with spec.follower.protocol rpc-status",
        ),
        (
            json!({ "follower": { "protocol": "rpc-status" }, "primary": { "fallbackUrls": ["http://other:1"] } }),
            "spec.primary.fallbackUrls has no effect with spec.follower.protocol rpc-status",
        ),
        (
            json!({ "follower": { "protocol": "rpc-status" }, "networkPolicy": { "monitoring": [{ "podSelector": {} }] } }),
            "spec.networkPolicy.monitoring has no effect with spec.follower.protocol rpc-status",
        ),
        (
            json!({ "follower": { "shutdownDelay": "31m" } }),
            "spec.follower.shutdownDelay must be a span of time",
        ),
        (
            json!({ "rollout": { "progressDeadline": "0s" } }),
            "spec.rollout.progressDeadline must be a span of time",
        ),
        (
            json!({ "networkPolicy": { "create": false, "readers": [{ "podSelector": {} }] } }),
            "spec.networkPolicy.readers and monitoring have no effect while create is false",
        ),
        (
            json!({ "disruptionBudget": { "create": 1 } }),
            "spec.disruptionBudget.create in body must be of type boolean",
        ),
        (json!({ "service": { "nodePort": 30000 } }), "spec.service.nodePort needs spec.service.type"),
        (
            json!({ "service": { "externalTrafficPolicy": "Local" } }),
            "spec.service.externalTrafficPolicy needs spec.service.type",
        ),
        (
            json!({ "service": { "type": "NodePort", "loadBalancerClass": "a/b" } }),
            "spec.service.loadBalancerClass needs spec.service.type LoadBalancer",
        ),
        (
            json!({ "service": { "type": "LoadBalancer", "loadBalancerClass": "/" } }),
            "spec.service.loadBalancerClass must be the name of a load balancer's class",
        ),
        (
            json!({ "service": { "loadBalancerSourceRanges": ["10.0.0.0/8"] } }),
            "spec.service.loadBalancerSourceRanges needs spec.service.type LoadBalancer",
        ),
        (
            json!({ "service": { "type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0"] } }),
            "spec.service.loadBalancerSourceRanges must each be an address range",
        ),
        (
            json!({ "service": { "labels": { "app.kubernetes.io/name": "x" } } }),
            "spec.service.labels must not set",
        ),
    ]
}

/// Changes of the smallest spec that pass: together they have every field that a rule or bound is about.
pub(super) fn accepted() -> Vec<Value> {
    let genesis = format!("0x{}", "a".repeat(64));
    let peer = json!({ "podSelector": { "matchLabels": { "app": "api" } } });
    vec![
        json!({}),
        json!({ "primary": { "url": "http://[fd00::1]:57291/", "genesis": genesis, "observe": false } }),
        json!({ "primary": { "genesis": null, "fallbackUrls": ["http://other:1"] } }),
        json!({ "primary": { "url": "https://p:1", "tls": { "caSecret": "a.b", "clientSecret": "c", "serverName": "P.d" } } }),
        json!({ "primary": { "fallbackUrls": ["https://p:1"], "tls": { "serverName": "p" } } }),
        json!({ "follower": {
            "args": ["--poll-interval=1s"], "imagePullSecrets": [{ "name": "registry" }], "env": [{ "name": "A", "value": "b" }],
            "shutdownDelay": "0s", "resources": { "limits": { "cpu": 1 } },
        } }),
        json!({ "follower": { "tls": { "certSecret": "a.b" } } }),
        json!({ "follower": { "tls": {
            "certSecret": "a", "clientCaSecret": "b", "caSecret": "c", "clientSecret": "d", "serverName": "E.f",
        } } }),
        json!({ "follower": { "protocol": "rpc-status", "tls": { "caSecret": "a", "clientSecret": "b" }, "args": ["--tls-cert=/c"] } }),
        json!({ "follower": { "protocol": "rpc-status", "port": 57292, "args": ["--listen=0.0.0.0:57292"], "shutdownDelay": "30m" } }),
        json!({ "storage": { "emptyDir": { "sizeLimit": "1Gi" } } }),
        json!({ "storage": { "size": "1Gi", "storageClassName": "fast", "retention": "Delete" } }),
        json!({ "health": { "maxLagBlocks": 0, "readmitLagBlocks": 0, "hardMaxLagBlocks": 1, "minServing": 0 } }),
        json!({ "health": { "pollInterval": "100ms", "staleAfter": "200ms" } }),
        json!({ "health": { "pollInterval": "1m", "staleAfter": "2m", "stallAfter": "1h30m", "forgetAfter": "2m" } }),
        json!({ "fenced": ["good-name-0", "good-name-12"] }),
        json!({ "rollout": { "progressDeadline": "168h" } }),
        json!({ "disruptionBudget": { "create": false }, "networkPolicy": { "create": false } }),
        json!({ "networkPolicy": { "readers": [peer], "monitoring": [peer] } }),
        json!({ "service": {
            "type": "LoadBalancer", "nodePort": 30000, "externalTrafficPolicy": "Local", "loadBalancerClass": "a.b/c",
            "loadBalancerSourceRanges": ["10.0.0.0/8", "fd00::/8"], "trafficDistribution": "PreferClose",
            "ipFamilyPolicy": "PreferDualStack", "labels": { "a": "b" }, "annotations": { "c": "d" },
        } }),
        json!({ "podTemplate": {
            "metadata": { "labels": { "a": "b" }, "annotations": { "c": "d" } },
            "spec": { "nodeSelector": { "e": "f" }, "anything": { "at": ["all", null] } },
        } }),
    ]
}

/// What a set of [`changeable`] may not be changed into, and how the message begins that says so.
pub(super) fn refused_changes() -> Vec<(Value, &'static str)> {
    vec![
        (json!({ "primary": { "genesis": null } }), "spec.primary.genesis is immutable once set"),
        (
            json!({ "primary": { "genesis": format!("0x{}", "b".repeat(64)) } }),
            "spec.primary.genesis is immutable once set",
        ),
        (json!({ "follower": { "port": 6000 } }), "spec.follower.port is immutable"),
        (json!({ "follower": { "format": "native" } }), "spec.follower.format is immutable"),
        (json!({ "follower": { "protocol": "rpc-status" } }), "spec.follower.protocol is immutable"),
        (json!({ "storage": { "size": "1023Mi" } }), "spec.storage.size may grow and never shrink"),
        (json!({ "storage": { "storageClassName": "slow" } }), "spec.storage.storageClassName is immutable"),
        (json!({ "storage": { "storageClassName": null } }), "spec.storage.storageClassName is immutable"),
        (
            json!({ "storage": { "size": null, "storageClassName": null, "emptyDir": {} } }),
            "spec.storage cannot change between size and emptyDir",
        ),
        (
            json!({ "service": { "loadBalancerClass": "other" } }),
            "spec.service.loadBalancerClass cannot change while spec.service.type is LoadBalancer",
        ),
    ]
}

/// A set that has every field that cannot change at will.
pub(super) fn changeable() -> Value {
    json!({
        "primary": { "genesis": format!("0x{}", "a".repeat(64)) },
        "storage": { "size": "1Gi", "storageClassName": "fast" },
        "service": { "type": "LoadBalancer", "loadBalancerClass": "one" },
    })
}

/// What it may be changed into.
pub(super) fn accepted_changes() -> Vec<Value> {
    vec![
        json!({ "replicas": 5, "follower": { "image": "j" }, "storage": { "retention": "Delete" } }),
        json!({ "storage": { "size": "1024Mi" } }),
        json!({ "storage": { "size": "1025Mi" } }),
        json!({ "service": { "type": "ClusterIP", "loadBalancerClass": null } }),
    ]
}
