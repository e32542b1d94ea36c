export default function PlaygroundPage(_: { name?: string }) {
  return <p>Soon</p>;
}
