"""The page as a whole: it is there, all of it comes from this machine, and it comes back by itself."""


def brightness(page):
    """How much of the first pane's image is not black."""
    return page.evaluate("""() => {
        const canvas = document.querySelector(".pane canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let bright = 0;
        for (let i = 0; i < data.length; i += 4) bright += data[i] > 20 ? 1 : 0;
        return bright / (data.length / 4);
    }""")


def test_the_page_shows_the_xrays(browser_page, expect, until, picture):
    expect(browser_page).to_have_title("raygrad cockpit")
    expect(browser_page.locator("#ct-name")).to_have_text("thorax")
    expect(browser_page.locator(".pane")).to_have_count(2)
    until(lambda: brightness(browser_page) > 0.2)
    picture(browser_page, "open")


def test_a_policy_forbids_everything_else(browser_page, complaints):
    """Scripts and styles in the text, and anything from elsewhere: the browser itself refuses them."""
    complaints.expect("Content Security Policy|'default-src' is used as a fallback")
    outcome = browser_page.evaluate("""async () => {
        const refused = new Set();
        document.addEventListener("securitypolicyviolation", (event) => refused.add(event.effectiveDirective));
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        const style = document.createElement("style");
        style.textContent = "body { --styled: yes }";
        document.body.append(script, style);
        setTimeout("window.ran = true");
        await fetch("http://127.0.0.1:9/").catch(() => {});
        await new Promise((done) => setTimeout(done, 50));
        const styled = getComputedStyle(document.body).getPropertyValue("--styled") !== "";
        return { ran: window.ran === true, styled, refused: [...refused].sort() };
    }""")
    directives = ["connect-src", "script-src", "script-src-elem", "style-src-elem"]
    assert outcome == {"ran": False, "styled": False, "refused": directives}
