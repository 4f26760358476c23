"""tiny-omni: SmolLM2-135M that sees and hears, through two small projectors of our own.

`assemble` puts its multimodal file together on the user's machine: Whisper tiny.en's encoder
comes out of a CTranslate2 model file, everything else is in ``weights.safetensors`` here.
"""

from mullama_media.hub.tiny_omni.assemble import MMPROJ_SHA256, MODEL_BIN_SHA256, assemble

__all__ = ["MMPROJ_SHA256", "MODEL_BIN_SHA256", "assemble"]
