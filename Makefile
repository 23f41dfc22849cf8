# `make help` lists what can be made.

SHELL := /usr/bin/env bash -o errexit -o nounset -o pipefail
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := $(CURDIR)/bin
GO ?= go

# What `auditquery version` says.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# Packages tested at the same time; each may run a control plane of its own.
TEST_JOBS ?= 2
TEST_TIMEOUT ?= 20m
TEST_PACKAGES ?= ./...

# make demo: ONCE=1 ends after the show; STORE is sqlite or elasticsearch.
ONCE ?=
STORE ?= sqlite

CONTROLLER_GEN := $(BIN)/controller-gen
OPENAPI_GEN := $(BIN)/openapi-gen
KUSTOMIZE := $(BIN)/kustomize
GOLANGCI_LINT := $(BIN)/golangci-lint

# Where the OpenAPI definitions of the served records go, and what they are made
# of besides our own types.
OPENAPI_PACKAGE := auditquery.dev/auditquery/api/records/openapi
OPENAPI_INPUTS := k8s.io/apimachinery/pkg/apis/meta/v1 k8s.io/apimachinery/pkg/runtime k8s.io/apimachinery/pkg/version

# The modules of this repository; each has a go.mod of its own.
MODULES := . hack/controlplane hack/tools/controller-gen hack/tools/golangci-lint hack/tools/kustomize hack/tools/openapi-gen

.PHONY: help
help: ## Show this list.
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Use
.PHONY: demo
demo: build controlplane $(if $(filter elasticsearch,$(STORE)),elasticsearch) ## Show the main job on a real cluster (ONCE=1: then end; STORE=elasticsearch).
	$(GO) build -o $(BIN)/demo ./hack/demo
	@ONCE='$(ONCE)' STORE='$(STORE)' exec $(BIN)/demo

.PHONY: build
build: ## Build the server into bin/auditquery.
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN)/auditquery ./cmd/auditquery

.PHONY: install-yaml
install-yaml: $(KUSTOMIZE) ## Write everything that a cluster needs into bin/install.yaml.
	$(KUSTOMIZE) build config/default > $(BIN)/install.yaml

##@ Check
.PHONY: test
test: build controlplane elasticsearch contract ## Run every test (TEST_PACKAGES=./internal/... for some).
	AUDITQUERY_TEST_BINARY=$(BIN)/auditquery $(GO) test -timeout $(TEST_TIMEOUT) -p $(TEST_JOBS) $(TEST_PACKAGES)

.PHONY: soak
soak: build controlplane elasticsearch ## The long form of the tests of ingest: kills, outages, lost nodes; takes some hours.
	AUDITQUERY_SOAK=1 AUDITQUERY_TEST_BINARY=$(BIN)/auditquery $(GO) test -count=1 -p 1 -v -timeout 6h ./test/e2e/ingest/...

.PHONY: verify
verify: ## Check what needs no test: generated files, formatting, vet, lint, go.mod.
	hack/verify.sh $(MODULES)

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Run the linters.
	$(GOLANGCI_LINT) run ./...

.PHONY: bench
bench: build controlplane elasticsearch ## Measure what everything costs; takes some 30 minutes.
	$(GO) run ./test/bench

##@ Change
.PHONY: generate
generate: $(CONTROLLER_GEN) $(OPENAPI_GEN) ## Write the generated Go code.
	$(CONTROLLER_GEN) object paths=./api/...
	$(OPENAPI_GEN) --go-header-file=/dev/null --report-filename=/dev/null \
		--output-dir=api/records/openapi --output-pkg=$(OPENAPI_PACKAGE) \
		--output-file=zz_generated.openapi.go --output-model-name-file=zz_generated.model_name.go \
		$(addprefix --readonly-pkg=,$(OPENAPI_INPUTS)) auditquery.dev/auditquery/api/records/v1alpha1 $(OPENAPI_INPUTS)

.PHONY: manifests
manifests: $(CONTROLLER_GEN) ## Write the generated CRDs and roles.
	rm -rf config/crd/bases
	$(CONTROLLER_GEN) crd paths=./api/... output:crd:dir=config/crd/bases
	$(GO) run ./hack/crdvalues config/crd/bases/*.yaml
	$(CONTROLLER_GEN) rbac:roleName=auditquery-controller paths=./controllers/... output:rbac:dir=config/rbac

.PHONY: fmt
fmt: ## Format the Go code.
	gofmt -w $$(git ls-files --cached --others --exclude-standard '*.go')

##@ Fetch and build what the above need
.PHONY: tools
tools: $(CONTROLLER_GEN) $(OPENAPI_GEN) $(KUSTOMIZE) $(GOLANGCI_LINT) ## Build the tools into bin/.

$(CONTROLLER_GEN): hack/tools/controller-gen/go.mod hack/tools/controller-gen/go.sum
	cd $(<D) && CGO_ENABLED=0 $(GO) build -o $@ sigs.k8s.io/controller-tools/cmd/controller-gen

$(OPENAPI_GEN): hack/tools/openapi-gen/go.mod hack/tools/openapi-gen/go.sum
	cd $(<D) && CGO_ENABLED=0 $(GO) build -o $@ k8s.io/kube-openapi/cmd/openapi-gen

$(KUSTOMIZE): hack/tools/kustomize/go.mod hack/tools/kustomize/go.sum
	cd $(<D) && CGO_ENABLED=0 $(GO) build -o $@ sigs.k8s.io/kustomize/kustomize/v5

$(GOLANGCI_LINT): hack/tools/golangci-lint/go.mod hack/tools/golangci-lint/go.sum
	@echo 'building golangci-lint; the first time takes some minutes'
	cd $(<D) && CGO_ENABLED=0 $(GO) build -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: controlplane
controlplane: ## Build etcd, kube-apiserver, kube-controller-manager and kubectl.
	hack/controlplane/build.sh $(BIN)/controlplane

.PHONY: elasticsearch
elasticsearch: ## Fetch Elasticsearch (needs a JDK and Maven).
	hack/elasticsearch/fetch.sh $(BIN)/elasticsearch

.PHONY: contract
contract: ## Fetch schemathesis and the clients in Python (needs Python 3.10).
	test/contract/fetch.sh $(BIN)/contract

.PHONY: clean
clean: ## Remove everything that was built and the demo's state.
	rm -rf $(BIN) .demo
