"""Networks for use outside of bequest: a folder of weights and configuration, ONNX, plain PyTorch."""

from bequest.models.export.model_folder import ModelFolder, load_pretrained, save_pretrained
from bequest.models.export.onnx_file import export_onnx
from bequest.models.export.plain_pytorch import loading_code, save_program

__all__ = [
    "ModelFolder",
    "export_onnx",
    "load_pretrained",
    "loading_code",
    "save_pretrained",
    "save_program",
]
