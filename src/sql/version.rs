//! `state('query', 'operator') VERSION AS OF BATCH 12`: a call with a batch behind it becomes a call with one
//! argument more.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::tokens::is_word;

const WORDS: [&str; 4] = ["VERSION", "AS", "OF", "BATCH"];

/// Puts the batch of each `) VERSION AS OF BATCH n` into the call before it.
pub(super) fn in_calls(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at < tokens.len() {
        let after = at + 1;
        let said = tokens[at].token == Token::RParen
            && WORDS.iter().enumerate().all(|(number, word)| {
                tokens.get(after + number).is_some_and(|token| is_word(token, word))
            });
        if said
            && let Some(number) = tokens.get(after + WORDS.len()).cloned()
            && matches!(number.token, Token::Number(..))
        {
            let comma = TokenWithSpan { token: Token::Comma, span: number.span };
            let close = tokens[at].clone();
            tokens.splice(at..=after + WORDS.len(), [comma, number, close]);
            at += 2;
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::SourceText;
    use super::super::tokens::tokenize;
    use super::*;

    #[test]
    fn a_batch_behind_a_call_becomes_an_argument() {
        let spelt = |text: &str| -> String {
            let mut tokens = tokenize(&SourceText::new("test", text)).unwrap();
            in_calls(&mut tokens);
            tokens.iter().map(|token| token.token.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            spelt("SELECT * FROM state('q', 0) VERSION AS OF BATCH 12 AS s"),
            "SELECT * FROM state ( 'q' , 0 , 12 ) AS s"
        );
        assert_eq!(spelt("SELECT (1) version"), "SELECT ( 1 ) version");
    }
}
