/** Only a model's own tokenizer knows what its tokens read as. */
export function OtherModel({ model }: { model: string }) {
  const why = model
    ? `This ran on ${model}, which this server does not serve`
    : "Which model this ran on is not known";
  return <p className="warning">{why}: its tokens are shown by their numbers.</p>;
}
