# ruff: noqa: RUF001 - letters of other alphabets look like Latin ones
"""The guess of an encoding, on lines as short as reviews are."""

import random

import pytest

from stages.sources import encoding_guess

RUSSIAN = ["Очень хорошая книга", "Доставка быстрая, спасибо", "Не работает", "товар пришёл вовремя", "плохо", "ужас!"]
WESTERN = ["Très bon livre, merci", "schön und gut", "Qualität läßt zu wünschen übrig", "señor, está aquí", "café"]
CENTRAL = ["Bardzo dobra książka", "Szybka wysyłka, dziękuję", "żółw, gęś", "Dobrý den, moc děkuji"]
JAPANESE = ["とても良い本です", "配送が早かったです。ありがとう", "使えません", "コーヒーが美味しい"]
SHORT = {
    "cp1251": [*RUSSIAN, "ОТЛИЧНО", "хороший iPhone", "Дуже гарна річ, раджу", "Много добра книга"],
    "koi8_r": RUSSIAN[:4],
    "cp866": RUSSIAN[:4],
    "cp1253": ["Πολύ καλό βιβλίο", "κακό", "Η παράδοση ήταν γρήγορη", "Δεν δουλεύει", "ευχαριστώ πολύ", "άριστο"],
    "cp1255": ["ספר טוב מאוד", "לא עובד", "משלוח מהיר, תודה", "מצוין", "שלום", "המוצר הגיע שבור"],
    "cp1256": ["كتاب جيد جدا", "لا يعمل", "التوصيل سريع، شكرا", "المنتج مكسور"],
    "cp1254": ["Çok güzel bir kitap", "çalışmıyor", "Hızlı kargo, teşekkürler", "İyi değil", "Ürün kırık geldi"],
    "cp1250": [*CENTRAL, "nie działa", "Nagyon jó könyv, köszönöm", "Šteta, ne radi"],
    "cp1252": [*WESTERN, "não é bom", "jättebra, men för långsam", "Müller", "it\u2019s fine", "20 \xb0C", "größer"],
    "cp874": ["หนังสือดีมาก", "ส่งเร็ว ขอบคุณ", "สินค้าเสียหาย"],
    "gb18030": ["这本书很好", "质量太差了", "发货很快\uff0c谢谢", "不好用", "屏幕有划痕"],
    "big5": ["這本書很好", "品質太差了", "出貨很快\uff0c謝謝", "螢幕有刮痕"],
    "shift_jis": [*JAPANESE, "最悪"],
    "euc_jp": JAPANESE,
    "cp949": ["아주 좋은 책입니다", "품질이 나빠요", "배송이 빨라요, 감사합니다", "최고", "별로"],
}
LONG = {
    "iso8859_2": [*CENTRAL, "źle, wieś"],
    "mac_roman": WESTERN,
    "cp1257": ["Labai gera knyga, ačiū", "neveikia, bet gražiai", "žāļu"],
}


@pytest.mark.parametrize(("encoding", "line"), [(name, line) for name, lines in SHORT.items() for line in lines])
def test_one_line_is_enough(encoding: str, line: str) -> None:
    content = f'17,"{line}",label\n'.encode(encoding)
    assert content.decode(encoding_guess.likely(content)[0]) == content.decode(encoding)


@pytest.mark.parametrize("encoding", [*SHORT, *LONG])
def test_of_several_lines_one_encoding_is_named(encoding: str) -> None:
    assert encoding_guess.likely("\n".join({**SHORT, **LONG}[encoding]).encode(encoding)) == [encoding]


@pytest.mark.parametrize(
    ("encoding", "word"), [("cp1253", "ΑΡΙΣΤΟ"), ("cp1251", "супер"), ("cp1255", "גרוע"), ("cp1257", "nestrādā, žēl")]
)
def test_two_are_named_where_both_read_well(encoding: str, word: str) -> None:
    guessed = encoding_guess.likely(word.encode(encoding))
    assert len(guessed) == 2 and word in [word.encode(encoding).decode(name) for name in guessed]


def test_random_bytes_are_in_no_encoding() -> None:
    generator = random.Random(0)
    for _ in range(20):
        assert encoding_guess.likely(bytes(generator.randrange(1, 256) for _ in range(60))) == []
    assert encoding_guess.likely(b"\xe9\0") == encoding_guess.likely(b"plain") == []
