# An image for each Python, with labels that say what is in it:
#   docker buildx bake --file deploy/image/bake.hcl
# By digest, so that the same images are built again (`docker buildx imagetools inspect NAME` shows it):
#   PYTHON_DIGESTS='{"3.13": "sha256:…"}' NODE_IMAGE=node:22-slim@sha256:… docker buildx bake …

variable "NAME" {
  default = "user-gateway"
}

variable "VERSION" {
  default = "0.1.0"
}

variable "REVISION" {
  default = "unknown"
}

variable "NODE_IMAGE" {
  default = "node:22-slim"
}

# A JSON object: the digest of python:X-slim for each Python. Without one, the newest image is taken.
variable "PYTHON_DIGESTS" {
  default = "{}"
}

group "default" {
  targets = ["gateway"]
}

target "gateway" {
  name    = "gateway-${replace(python, ".", "-")}"
  matrix  = { python = ["3.11", "3.12", "3.13", "3.14"] }
  context = "."
  args = {
    PYTHON_IMAGE = join("@", compact(["python:${python}-slim", lookup(jsondecode(PYTHON_DIGESTS), python, "")]))
    NODE_IMAGE   = NODE_IMAGE
    VERSION      = VERSION
    REVISION     = REVISION
    CREATED      = timestamp()
  }
  # The newest Python with which the whole suite is run gets the plain name.
  tags = compact(["${NAME}:${VERSION}-python${python}", python == "3.13" ? "${NAME}:${VERSION}" : ""])
}
