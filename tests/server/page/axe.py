"""What axe-core finds wrong with what a page shows."""

RUN_AXE = """async () => {
  const runOnly = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const { violations } = await axe.run(document, { runOnly });
  return violations.map(({ id, impact, nodes }) => [id, impact, nodes.map((node) => node.html).slice(0, 3)]);
}"""

FINISH = "() => document.getAnimations().forEach((animation) => animation.finish())"


def judge(page, page_tools):
    page.evaluate(FINISH)
    page.evaluate((page_tools / "axe-core/axe.min.js").read_text())
    return page.evaluate(RUN_AXE)
