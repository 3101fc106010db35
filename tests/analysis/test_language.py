"""Languages by script, and the model's for Latin letters."""

import numpy as np
import pytest

from analysis import analyse
from analysis.language import needed


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("สวัสดีครับ", "th"),
        ("こんにちは、元気ですか", "ja"),
        ("漢字とカタカナ", "ja"),
        ("你好,今天怎么样", "zh"),
        ("안녕하세요", "ko"),
        ("Γειά σου", "el"),
        ("שלום לך", "he"),
        ("مرحبا كيف حالك", "ar"),
        ("سلام، چطوری؟ من خوبم و پیش تو می‌آیم", "fa"),
        ("آپ کیسے ہیں؟ میں ٹھیک ہوں", "ur"),
        ("Привет, как дела", "ru"),
        ("Привіт, як твої справи, її ще немає", "uk"),
        ("नमस्ते आप कैसे हैं", "hi"),
        ("আপনি কেমন আছেন", "bn"),
        ("வணக்கம்", "ta"),
        ("გამარჯობა", "ka"),
        ("សួស្តី", "km"),
        ("@user http สวัสดี", "th"),
        ("I really love the word 愛 a lot", "en"),
        ("good morning how are you today", "en"),
        ("buenos días, ¿cómo estás hoy?", "es"),
        ("bonjour, comment vas-tu aujourd'hui ?", "fr"),
        ("guten Morgen, wie geht es dir heute?", "de"),
        ("bom dia, como você está hoje?", "pt"),
        ("buongiorno, come stai oggi?", "it"),
        ("I love you so much baby 😍", "en"),
        ("thanks for the video!! 🔥🔥", "en"),
        ("bad girl", "en"),
        ("hey", "en"),
        ("te amo", "es"),
        ("danke schön", "de"),
        ("obrigado", "pt"),
        ("see https://example.com ❤", "und"),
        ("hi", "und"),
        ("hallo", "und"),
        ("sexy", "und"),
        ("😀😀", "und"),
        ("123 456!", "und"),
        ("@user http @user", "und"),
        ("ᚠᚢᚦ", "und"),
    ],
)
def test_the_language_of(text: str, language: str) -> None:
    assert analyse([text])[0].language == language


def test_the_letters_of_a_link_are_no_evidence() -> None:
    linked, long = analyse(["see http", "ver http http si hay algo de nuevo hoy"])
    assert (linked.language, long.language) == ("und", "es")


def test_the_fewer_the_letters_the_surer_the_model_must_be() -> None:
    least = needed(0.18, np.array([-4, 0, 1, 3, 12, 60]))
    assert least.round(3).tolist() == [0.78, 0.78, 0.78, 0.38, 0.23, 0.19]
