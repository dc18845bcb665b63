# syntax=docker/dockerfile:1
# Each stage of Python starts from the same slim image. For a build that gives the same image again,
# name both images by their digests:
#   docker build --build-arg PYTHON_IMAGE=python:3.13-slim@sha256:… \
#                --build-arg NODE_IMAGE=node:22-slim@sha256:… .
# Any Python from 3.11 to 3.14 will do; deploy/image/bake.hcl builds an image for each.
ARG PYTHON_IMAGE=python:3.13-slim
ARG NODE_IMAGE=node:22-slim

# GraphiQL: a few files, built from locked npm packages.
FROM ${NODE_IMAGE} AS graphiql
WORKDIR /build
COPY app/server/graphiql/package.json app/server/graphiql/package-lock.json app/server/graphiql/.npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY app/server/graphiql/ ./
RUN npm run build

# The packages: locked, every file checked against its hash, into an environment of their own.
FROM ${PYTHON_IMAGE} AS python
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/build && python -m venv /opt/gateway
COPY requirements/ requirements/
RUN /opt/build/bin/pip install --require-hashes -r requirements/build.txt \
 && /opt/gateway/bin/pip install --require-hashes --only-binary :all: -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY app/ app/
COPY --from=graphiql /build/dist/ app/server/graphiql/dist/
# The build's own Python makes the wheel, so that no build tool gets into the gateway's.
RUN USER_GATEWAY_SKIP_GRAPHIQL=1 /opt/build/bin/pip wheel --no-build-isolation --no-deps --wheel-dir /wheels . \
 && /opt/gateway/bin/pip install --no-deps --no-index /wheels/*.whl \
 && /opt/gateway/bin/pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
# An argument before the first FROM has no value in a stage that does not name it again.
ARG PYTHON_IMAGE
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="user-gateway" \
      org.opencontainers.image.description="One GraphQL endpoint over REST sources of user data." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
RUN python -m pip uninstall --yes pip \
 && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin gateway
COPY --from=python /opt/gateway /opt/gateway
COPY deploy/image/defaults.toml /etc/user-gateway/defaults.toml
# Settings are in a file, and not in variables: a variable would win over a mounted file.
ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GATEWAY_DEFAULTS=/etc/user-gateway/defaults.toml
WORKDIR /srv
USER 10001
EXPOSE 8000
# Asks the gateway itself, never a source, at the port that the settings say.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --start-interval=2s --retries=3 \
    CMD ["user-gateway", "health"]
# Exec form: the gateway is process 1 and gets SIGTERM itself.
ENTRYPOINT ["user-gateway"]
CMD ["serve"]
