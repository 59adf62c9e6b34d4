# SPDX-License-Identifier: Apache-2.0
# The command with the CUDA device. One architecture builds in a fraction of the time of all: --build-arg CUDAARCHS=90
#   docker build -f docker/cuda.Dockerfile -t lamella-cuda .
#   docker run --rm --gpus all lamella-cuda info
FROM nvidia/cuda:13.0.1-cudnn-devel-ubuntu24.04 AS build
COPY . /lamella
WORKDIR /lamella
# hadolint ignore=DL3008
RUN scripts/deps && apt-get install -y --no-install-recommends dpkg-dev file
ARG CUDAARCHS
RUN [ -n "$CUDAARCHS" ] || unset CUDAARCHS; cmake --workflow --preset package

FROM nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04
RUN --mount=type=bind,from=build,source=/lamella/build/package,target=/packages \
    apt-get update \
    && apt-get install -y --no-install-recommends /packages/liblamella0_*.deb /packages/liblamella0-cuda_*.deb /packages/lamella_*.deb \
    && rm -rf /var/lib/apt/lists/*
USER 10001
WORKDIR /data
ENTRYPOINT ["lamella"]
CMD ["--help"]
