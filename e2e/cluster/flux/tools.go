//go:build tools

// Package tools pins the GitOps engine that a test runs: Flux's kustomize-controller.
package tools

import _ "github.com/fluxcd/kustomize-controller"
