# syntax=docker/dockerfile:1
ARG GO_IMAGE=golang:1.26
ARG RUN_IMAGE=scratch

FROM ${GO_IMAGE} AS build
ARG VERSION=dev
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/auditquery ./cmd/auditquery

FROM ${RUN_IMAGE}
LABEL org.opencontainers.image.title="auditquery" \
      org.opencontainers.image.licenses="Apache-2.0"
# The store's certificate may be signed by a public authority.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/LICENSE /LICENSE
COPY --from=build /out/auditquery /auditquery
USER 65532:65532
ENTRYPOINT ["/auditquery"]
