# Every target of this project; `make` alone lists them.
.DEFAULT_GOAL := help

# The timeout is per package, for two cores that have other work.
GO_TEST := go test -timeout 20m
# The linters, compiled by `go run` on first use.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
DEPGUARD := github.com/OpenPeeDeeP/depguard/v2/cmd/depguard@v2.3.0

MODULES := $(patsubst %/go.mod,%,$(shell find . -name go.mod -not -path '*/node_modules/*' | sort))

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: lint
lint: ## Check every module with gofmt, go mod tidy, go vet and staticcheck, and what each package imports.
	@files=$$(gofmt -l .) || exit; [ -z "$$files" ] || { echo "not formatted with gofmt: $$files"; exit 1; }
	@set -e; for module in $(MODULES); do \
		echo "== $$module"; \
		(cd $$module && go mod tidy -diff && go vet ./... && go run $(STATICCHECK) ./...); \
	done
	@echo "== what each package imports"
	@go run $(DEPGUARD) -test=false ./... || { echo ".depguard.yml lists what each package may import"; exit 1; }

.PHONY: test
test: ## Test every module, on throw-away PostgreSQL and MariaDB servers.
	scripts/with-databases $(MAKE) --no-print-directory test-modules

# integration/faults runs without the race detector: its nodes are processes, and take long.
.PHONY: test-modules
test-modules: ## The same on the servers of POSTGRES_DSN and MYSQL_DSN, as far as they are set.
	@set -e; for module in $(MODULES); do \
		echo "== $$module"; \
		race=-race; [ $$module != ./integration/faults ] || race=; \
		(cd $$module && $(GO_TEST) $$race -shuffle=on ./...); \
	done
	@echo "== . with the newest releases of what it requires, which integration/go.mod has"
	@cd integration && $(GO_TEST) -shuffle=on github.com/attesto/dpopnonce github.com/attesto/dpopnonce/internal/... github.com/attesto/dpopnonce/dialects github.com/attesto/dpopnonce/dpophttp
	@echo "== ./integration/sqlite/glebarez without cgo"
	@cd integration && CGO_ENABLED=0 $(GO_TEST) -shuffle=on ./sqlite/glebarez

.PHONY: newest
newest: ## Take the newest releases of everything into integration/go.mod.
	cd integration && go get -u -t ./... && go mod tidy

.PHONY: quickstart
quickstart: ## Run the quickstart on a new SQLite file.
	go run ./examples/quickstart

.PHONY: demo
demo: ## Start examples/authserver and run a client through the flow, each exchange printed; then, in a terminal, the page.
	cd examples/authserver && go run . -demo
	@if [ -t 1 ]; then $(MAKE) --no-print-directory page; else echo 'In a terminal, a page to watch the flow on comes next: make page.'; fi

.PHONY: page
page: ## Serve a page on which to watch the flow, and servers for it under both policies, until Ctrl-C.
	cd examples/authserver && go run . -page

.PHONY: e2e
e2e: ## Try examples/authserver with the clients of others, in Node, Go and headless Chromium.
	scripts/e2e

.PHONY: clients
clients: ## Measure what those clients need, into examples/authserver/CLIENTS.md (3 minutes).
	scripts/with-databases scripts/e2e clients

.PHONY: screenshot
screenshot: ## Take docs/demo.png of that page anew, in headless Chromium.
	scripts/e2e screenshot

.PHONY: bench
bench: ## Measure against the same statements by hand, into integration/bench (12 minutes, 4 GB; BENCH=-short: two minutes).
	cd integration && ../scripts/with-databases go run ./bench $(if $(BENCH),$(BENCH),-out bench)

.PHONY: flood
flood: ## Flood an endpoint with proofs to be challenged, beside an honest client, under each policy (two minutes).
	cd integration && ../scripts/with-databases go run ./flood $(FLOOD)

.PHONY: faults
faults: ## Kill databases, poolers, networks and processes under load, into integration/faults (32 minutes, as root for the full disk and networks; FAULTS=-short: four).
	cd integration/faults && go run . $(if $(FAULTS),$(FAULTS),-out RESULTS.md)

.PHONY: settings
settings: ## Try what sessions, servers and tables can have set, and print a table (20 minutes).
	cd integration && ../scripts/with-databases go run ./settings

.PHONY: fuzz
fuzz: ## Fuzz the nonce check, the changesets and sealed nonces, 30 seconds each.
	$(GO_TEST) -run '^$$' -fuzz FuzzWellFormed -fuzztime 30s .
	$(GO_TEST) -run '^$$' -fuzz FuzzIssueChangeset -fuzztime 30s .
	$(GO_TEST) -run '^$$' -fuzz FuzzConsumeChangeset -fuzztime 30s .
	$(GO_TEST) -run '^$$' -fuzz FuzzOpen -fuzztime 30s ./internal/seal
