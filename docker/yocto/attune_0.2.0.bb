SUMMARY = "Voice assistant that learns its user's voice on the device"
DESCRIPTION = "Attune listens, answers, and, while nobody talks, learns its user's voice. No audio leaves the device."
HOMEPAGE = "https://arxiv.org/abs/2411.13766"
SECTION = "multimedia"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

# It is built from the tree that this recipe lies in.
SRC_URI = ""
EXTERNALSRC ?= "${THISDIR}/../.."

inherit externalsrc python_setuptools_build_meta systemd useradd

# The units start /usr/lib/attune/bin/attune, where packages have an environment of their own; here it is the image's interpreter.
do_install:append() {
    oe_runmake -C ${S} install-units DESTDIR=${D} UNITS=${systemd_system_unitdir}
    install -d ${D}${prefix}/lib/attune/bin
    ln -sf ${bindir}/attune ${D}${prefix}/lib/attune/bin/attune
    ln -sf ${bindir}/python3 ${D}${prefix}/lib/attune/bin/python
}

SYSTEMD_SERVICE:${PN} = "attune.service attune.socket attune-engines.service attune-adapt.path attune-adapt.timer"
SYSTEMD_AUTO_ENABLE = "enable"

USERADD_PACKAGES = "${PN}"
USERADD_PARAM:${PN} = "--system --home-dir ${localstatedir}/lib/attune --no-create-home --shell /sbin/nologin --groups audio,video,render attune"
GROUPADD_PARAM:${PN} = "--system render"

FILES:${PN} += "${prefix}/lib/attune ${prefix}/lib/systemd ${prefix}/lib/sysusers.d ${prefix}/lib/tmpfiles.d ${sysconfdir}/attune"
CONFFILES:${PN} = "${sysconfdir}/attune/attune.toml"

# Of these, OpenEmbedded's layers do not have ctranslate2, faster-whisper, gguf, hibari-tts, llama-cpp-python, onnxruntime, the
# packages of OpenTelemetry, pyopen-wakeword, pyrage, pywebrtc-audio, soxr, sqlcipher3, text2num and wyoming: the layer that takes
# this recipe up brings them, and the package attune-models with the models of engines/models/models.toml below /usr/share/attune (`make install-models`).
RDEPENDS:${PN} = "\
    attune-models \
    espeak \
    portaudio-v19 \
    procps \
    python3-av \
    python3-core \
    python3-cryptography \
    python3-ctranslate2 \
    python3-fastapi \
    python3-faster-whisper \
    python3-gazetteer-matcher \
    python3-gguf \
    python3-hassil \
    python3-hibari-tts \
    python3-jinja2 \
    python3-llama-cpp-python \
    python3-mcp \
    python3-modules \
    python3-num2words \
    python3-numpy \
    python3-onnxruntime \
    python3-opentelemetry-exporter-otlp-proto-http \
    python3-opentelemetry-sdk \
    python3-pint \
    python3-platformdirs \
    python3-python-multipart \
    python3-prometheus-client \
    python3-psutil \
    python3-pydantic \
    python3-pyopen-wakeword \
    python3-pyrage \
    python3-pywebrtc-audio \
    python3-requests \
    python3-rich \
    python3-safetensors \
    python3-sounddevice \
    python3-soundfile \
    python3-soxr \
    python3-sqlcipher3 \
    python3-text2num \
    python3-typer \
    python3-tzdata \
    python3-tzlocal \
    python3-uvicorn \
    python3-websockets \
    python3-wyoming \
    python3-zeroconf \
    util-linux-setpriv \
"
# What learns: without it Attune answers, and learns nothing.
RRECOMMENDS:${PN} = "\
    python3-jiwer \
    python3-onnx \
    python3-onnxscript \
    python3-peft \
    python3-rouge-score \
    python3-torch \
    python3-transformers \
"
